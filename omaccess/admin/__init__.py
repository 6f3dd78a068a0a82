"""The admin's pages. Importing this package registers them; Django does so when it discovers admin modules."""

from omaccess.admin import credentials, grants, inventory, records

__all__ = ["credentials", "grants", "inventory", "records"]
