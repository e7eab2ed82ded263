"""Files of the shop that the test copies into a folder of its own; nothing here is imported from here."""
