"""ResNet-18 for small images on a part of CIFAR-10 in PyTorch, on the very batches of configs/resnet18-cifar10.yaml with one seat: the
same first weights, order of images, shifts and mirrors (Philox, as internal/rng draws), optimizer and schedule. What differs is the
order of additions alone. Needs torch, numpy, pillow and safetensors.

    python bench/resnet18_cifar.py ARCHIVE.tar.gz --first first.safetensors --train 200 --eval 200 --epochs 5 --batch 50 --lr 0.02 --seed 1
    ringmaster launch configs/resnet18-cifar10.yaml --set data.dir=ARCHIVE.tar.gz --set model.init=first.safetensors --set seats=1 \
        --set data.train_per_class=200 --set data.eval_per_class=200 --set train.epochs=5 --set train.batch_per_seat=50 \
        --set train.optimizer.lr=0.02 --set seed=1

The first program writes first.safetensors before it trains, so the second may begin as soon as the file is there.
"""
import argparse, json, math, os, time

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from mobilenetv2_cifar import MEAN, STD, read

WORD = 1 << 32


def philox(key, counter):
    """Philox4x32-10."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        p, q = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (q // WORD) ^ c1 ^ k0, q % WORD, (p // WORD) ^ c3 ^ k1, p % WORD
        k0, k1 = (k0 + 0x9E3779B9) % WORD, (k1 + 0xBB67AE85) % WORD
    return c0, c1, c2, c3


def derive(key, n):
    return philox(key, (n % WORD, n // WORD, 0, 0x6B657973))[:2]


def path(seed, *numbers):
    key = derive((seed % WORD, seed // WORD), 0)
    for n in numbers:
        key = derive(key, n)
    return key


def block(key, n):
    return philox(key, (n % WORD, n // WORD, 0, 0))


def order(seed, epoch, count):
    """The images of an epoch in their order."""
    key, numbers = path(seed, 2, epoch), list(range(count))
    for i in range(count - 1, 0, -1):
        words = block(key, i // 2)[i % 2 * 2 :]
        j = (words[1] * WORD + words[0]) * (i + 1) >> 64
        numbers[i], numbers[j] = numbers[j], numbers[i]
    return numbers


def augment(images, seed, step):
    """Each image shifted within a border of 4 black pixels and mirrored or not, as one seat draws it."""
    padded, out = F.pad(images, (4, 4, 4, 4)), torch.empty_like(images)
    key = derive(path(seed, 1, step, 0, 0), WORD)
    for i in range(len(images)):
        down, right, mirror, _ = block(key, i)
        down, right = down * 9 >> 32, right * 9 >> 32
        out[i] = padded[i, :, down : down + 32, right : right + 32]
        if mirror & 1:
            out[i] = out[i].flip(2)
    return out


class Block(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class ResNet18(nn.Module):
    """torchvision's names, shapes and first values; the first convolution is 3 x 3 with stride 1, and no pool follows it."""

    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1, inputs = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), 64
        for k, outputs in enumerate((64, 128, 256, 512)):
            setattr(self, f"layer{k + 1}", nn.Sequential(Block(inputs, outputs, 1 if k == 0 else 2), Block(outputs, outputs, 1)))
            inputs = outputs
        self.fc = nn.Linear(512, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


def evaluate(net, images, answers):
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(part) for part in images.split(100)])
    return F.cross_entropy(logits, answers).item(), (logits.argmax(1) == answers).float().mean().item()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("archive")
    args.add_argument("--first", required=True, help="file to write the first weights to")
    for name, default in (("train", 200), ("eval", 200), ("epochs", 5), ("batch", 50), ("seed", 1), ("threads", 1)):
        args.add_argument("--" + name, type=int, default=default)
    args.add_argument("--lr", type=float, default=0.02)
    a = args.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    net = ResNet18(10)
    save_file({k: v for k, v in net.state_dict().items() if v.dim() > 0}, a.first + ".part")
    os.replace(a.first + ".part", a.first)
    (images, labels), (test, answers) = read(a.archive, (a.train, a.eval))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    optimizer = torch.optim.SGD(net.parameters(), lr=a.lr, momentum=0.9, weight_decay=5e-4)
    steps, step, began = a.epochs * math.ceil(len(images) / a.batch), 0, time.time()
    for epoch in range(a.epochs):
        net.train()
        total = 0
        for chosen in torch.tensor(order(a.seed, epoch, len(images))).split(a.batch):
            optimizer.param_groups[0]["lr"] = a.lr / 2 * (1 + math.cos(math.pi * step / steps))
            loss = F.cross_entropy(net((augment(images[chosen], a.seed, step) - mean) / std), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            total += loss.item() * len(chosen)
            if step <= 5:
                print(json.dumps({"step": step, "loss": loss.item()}), flush=True)
        loss, accuracy = evaluate(net, (test - mean) / std, answers)
        print(json.dumps({"epoch": epoch + 1, "train_loss": total / len(images), "eval_loss": loss, "accuracy": accuracy, "seconds": round(time.time() - began)}), flush=True)


if __name__ == "__main__":
    main()
