"""The Graph API: requests, responses, error codes, reads, and which versions Meta supports."""
