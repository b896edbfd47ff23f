"""FLOOR 3, content: campaign folders read into immutable versions, and versions rendered into the words of a message.

`campaigns` reads a folder, `render` makes messages of a version. Pure but for reading the campaigns folder: no clock, no
network, no store. What recipients bring in (traits, vars) is data here, never template. Used by dispatch, intake and the CLI.
"""
