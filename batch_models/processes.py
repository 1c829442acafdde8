"""Training in several processes, as torchrun starts them: each learns from its share of every batch, and gradients are
averaged, so that all have the same network after every step. One process is the usual case and pays nothing.
"""

import os
from collections.abc import Iterable

import torch
from torch import distributed, nn


class Processes:
    """rank, count: which of how many this process is. device: a GPU where there is one for each."""

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
        if not distributed.is_torchelastic_launched():
            return
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if gpu else "gloo")
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    def share(self, size: int) -> slice:
        """Of the rows of a batch, those of this process."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Makes gradients the mean of those of all processes: in one message, as most are small."""
        if self.count == 1:
            return
        given = [each for each in parameters if each.requires_grad]
        for each in given:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        gradients = [each.grad for each in given if each.grad is not None]
        flat = torch.cat([gradient.ravel() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
