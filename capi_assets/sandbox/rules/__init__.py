"""What Meta rejects, written from its pages alone: nothing here knows how our events are built."""
