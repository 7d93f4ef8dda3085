"""Schedules and sensors: what runs without a person."""
