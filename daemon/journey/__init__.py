"""JOURNEY: what people do, and what it makes of them. Pure, on the floor of policy: `now` is an argument, nothing is looked up here.

`events` has the names and what each stands for, `profile` what a person's events add up to, `sequence` the next
move of a walk through a campaign.
"""
