"""What the module ``set_update`` does on a host: standard library only, Python 3.11 and later."""
