"""Pictures of particular nodes."""
