"""MobileNetV2 for small images on a part of CIFAR-10 in PyTorch: the same images, epochs, augmentation, optimizer and
schedule as configs/mobilenetv2-cifar10.yaml, to compare accuracies. Needs torch, numpy and pillow.

    python bench/mobilenetv2_cifar.py ARCHIVE.tar.gz --train 200 --eval 100 --epochs 3 --batch 32 --lr 0.02 --seed 1
    ringmaster launch configs/mobilenetv2-cifar10.yaml --set data.dir=ARCHIVE.tar.gz --set data.train_per_class=200 \
        --set train.epochs=3 --set seats=1 --set train.batch_per_seat=32 --set train.optimizer.lr=0.02 --set seed=1

One seat has one batch norm, so the batches agree; the order of the images and the initial values do not. Batches of 32 stand a
rate of 0.02, the job's of 128 one of 0.05: at 0.1, losses rise to 10 at first, and the accuracies of seeds end 15 points apart.
"""
import argparse, io, json, math, re, tarfile, time

import numpy, torch
from PIL import Image
from torch import nn

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def read(path, per_class):
    """The first images of each class by name, as (N, 3, 32, 32) in [0, 1], and their labels."""
    files = {"train": {}, "test": {}}
    with tarfile.open(path) as archive:
        for member in archive:
            found = re.search(r"(train|test)/([^/]+)/([^/]+\.(?:jpg|png))$", member.name)
            if found and member.isfile():
                files[found[1]].setdefault(found[2], []).append((found[3], archive.extractfile(member).read()))
    sets = []
    for part, count in zip(("train", "test"), per_class):
        images, labels = [], []
        for label, name in enumerate(sorted(files[part])):
            for _, data in sorted(files[part][name])[: count or None]:
                images.append(numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
                labels.append(label)
        pixels = torch.from_numpy(numpy.stack(images)).permute(0, 3, 1, 2).float() / 255
        sets.append((pixels, torch.tensor(labels)))
    return sets


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden, layers = inputs * expansion, []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.layers, self.residual = nn.Sequential(*layers), stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


def mobilenetv2(classes):
    """torchvision's network and first values, with stride 1 in the stem and in stage 2."""
    layers, width = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()], 32
    for expansion, channels, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for k in range(blocks):
            layers.append(Inverted(width, channels, stride if k == 0 else 1, expansion))
            width = channels
    layers += [nn.Conv2d(width, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes)]
    net = nn.Sequential(*layers)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.01)
            nn.init.zeros_(m.bias)
    return net


def augment(images):
    """Random crop of the image with a border of 4 black pixels, and random mirroring."""
    padded, out = nn.functional.pad(images, (4, 4, 4, 4)), torch.empty_like(images)
    shifts, flips = torch.randint(0, 9, (len(images), 2)), torch.rand(len(images)) < 0.5
    for i, (down, right) in enumerate(shifts.tolist()):
        out[i] = padded[i, :, down : down + 32, right : right + 32]
        if flips[i]:
            out[i] = out[i].flip(2)
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("archive")
    for name, default in (("train", 500), ("eval", 100), ("epochs", 10), ("batch", 128), ("seed", 1), ("threads", 1)):
        args.add_argument("--" + name, type=int, default=default)
    args.add_argument("--lr", type=float, default=0.05)
    a = args.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    (images, labels), (test, answers) = read(a.archive, (a.train, a.eval))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    net = mobilenetv2(10)
    optimizer = torch.optim.SGD(net.parameters(), lr=a.lr, momentum=0.9, weight_decay=5e-4)
    steps, step, began = a.epochs * math.ceil(len(images) / a.batch), 0, time.time()
    for _ in range(a.epochs):
        net.train()
        for chosen in torch.randperm(len(images)).split(a.batch):
            optimizer.param_groups[0]["lr"] = a.lr / 2 * (1 + math.cos(math.pi * step / steps))
            loss = nn.functional.cross_entropy(net((augment(images[chosen]) - mean) / std), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    took = time.time() - began
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net((part - mean) / std) for part in test.split(100)])
    print(json.dumps({"seed": a.seed, "train_loss": loss.item(), "eval_loss": nn.functional.cross_entropy(logits, answers).item(),
                      "accuracy": (logits.argmax(1) == answers).float().mean().item(), "images_per_s": a.epochs * len(images) / took}))


if __name__ == "__main__":
    main()
