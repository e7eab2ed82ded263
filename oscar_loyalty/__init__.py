"""Loyalty for django-oscar shops: points, later tiers, returns and more."""
