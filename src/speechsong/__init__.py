"""How alike are emotional speech and emotional song to a self-supervised audio encoder?"""

__version__ = "0.1.0"
