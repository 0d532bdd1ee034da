"""How far points are apart, and what that means."""
