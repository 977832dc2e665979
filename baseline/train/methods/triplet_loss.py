"""The triplet loss over a batch, and how good embeddings are at finding their class again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from baseline.train.batches import LabelledSamples, plain_batches
from baseline.train.networks import KnownPictures
from baseline.train.trained_net import by_class

MOST_KNOWN = 2000
"""Pictures of train that validation compares with, at most."""

Embed = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class BatchHard:
    """For each picture its farthest of the class and its nearest of another one, in the batch.

    (Hermans et al., In Defense of the Triplet Loss, 2017.) `embed` gives what is compared, before
    it is brought to length 1. Val is judged against `known`, as a gallery would: by cross entropy
    of the likenesses, and by recall@1.
    """

    def __init__(self, margin: float, known: LabelledSamples, classes: int, embed: Embed) -> None:
        # Imported here: whoever uses a trained run need not wait for it.
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.miners import BatchHardMiner

        self.loss, self.miner = TripletMarginLoss(margin=margin), BatchHardMiner()
        self.known, self.classes, self.embed = known, classes, embed

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return how many pictures there are."""
        return torch.tensor(float(len(y)), device=y.device)

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean over the triplets not yet apart, times the pictures; and recall@1
        therein.
        """
        embedded = functional.normalize(self.embed(net, x).float(), dim=1)
        loss: torch.Tensor = self.loss(embedded, y, self.miner(embedded, y))
        return loss * len(y), _found_again(embedded.detach(), y)

    def judge(self, net: nn.Module, material: LabelledSamples, batch: int) -> tuple[float, float]:
        """Cross entropy in nats and recall@1 of `material` against the known pictures."""
        with torch.inference_mode():
            known, owners = self._embedded(net, self.known, batch)
            asked, truth = self._embedded(net, material, batch)
            vectors = by_class(known.numpy(), owners.numpy(), self.classes)
            scores = KnownPictures(torch.from_numpy(vectors))(asked)
        loss = float(functional.cross_entropy(scores, truth))
        return loss, float((scores.argmax(1) == truth).float().mean())

    def _embedded(
        self, net: nn.Module, material: LabelledSamples, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts, labels, count = [], [], 0
        for x, y in plain_batches(material, net, batch):
            parts.append(functional.normalize(self.embed(net, x).float(), dim=1).cpu())
            labels.append(y.cpu())
            count += len(y)
            if material is self.known and count >= MOST_KNOWN:
                break
        return torch.cat(parts), torch.cat(labels)


def _found_again(embedded: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return how many have one of their own class as the nearest other picture."""
    likeness = embedded @ embedded.T
    likeness.fill_diagonal_(-2.0)
    return (y[likeness.argmax(1)] == y).sum()
