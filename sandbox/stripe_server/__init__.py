"""A Stripe-shaped card service for the sandbox and the tests. See README.md."""

# The version that stripe 16.1.0 pins; a test compares the two.
API_VERSION = "2026-10-28.endive"
