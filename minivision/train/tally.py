"""The figures of an epoch, while it goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Sums over the images (or tokens) seen: losses, right answers, and the seconds it took."""

    images: int = 0
    loss: float = 0.0
    right: float = 0
    seconds: float = 0.0

    def add(self, images: int, loss: float, right: float = 0.0) -> None:
        """A batch of so many images: its mean loss, and how many answers are right."""
        self.images += images
        self.loss += loss * images
        self.right += right

    @property
    def mean_loss(self) -> float:
        """Loss per image."""
        return self.loss / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / max(self.images, 1)

    @property
    def per_second(self) -> float:
        """Images, or tokens, a second."""
        return self.images / max(self.seconds, 1e-9)
