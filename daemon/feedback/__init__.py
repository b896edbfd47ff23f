"""FLOOR 4, feedback: what people and providers say after a message, applied to the store. Calls no other stage: rows do."""
