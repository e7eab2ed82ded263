"""Card payment: authorise, place the order, capture after commit. The only room that talks to Stripe."""
