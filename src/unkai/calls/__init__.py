"""From an authorized caller and a decoded input to a committed answer. The front door and background work both call it."""
