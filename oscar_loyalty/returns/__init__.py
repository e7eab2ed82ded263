"""What comes back: policies, returns and their states, labels, withdrawals, goodwill. Knows no order."""
