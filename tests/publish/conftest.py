from publishing import make_publisher, said

__all__ = ["make_publisher", "said"]
