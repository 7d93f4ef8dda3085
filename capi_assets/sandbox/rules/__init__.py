"""What Meta refuses, written from its pages alone: the other side of the wire, so nothing here
knows how our events are built."""
