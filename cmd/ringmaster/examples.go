package main

import "github.com/spf13/cobra"

// examples are those of commands that are shown by few words; the others have theirs beside their flags.
var examples = map[string]string{
	"ringmaster":                     "  ringmaster launch configs/quickstart.yaml\n  ringmaster watch\n  ringmaster help launch",
	"ringmaster bench":               "  ringmaster bench gemm --sizes 64x64x64,32x784x128 --threads 1",
	"ringmaster bench balance":       "  ringmaster bench balance configs/mnist-mlp.yaml",
	"ringmaster bench gemm":          "  ringmaster bench gemm --sizes 64x64x64,32x784x128 --threads 1 --json",
	"ringmaster bench kernels":       "  ringmaster bench kernels",
	"ringmaster bench lr":            "  ringmaster bench lr configs/mnist-mlp.yaml",
	"ringmaster bench tokenizer":     "  ringmaster bench tokenizer tokenizer.json --input text.txt",
	"ringmaster certs":               "  ringmaster certs init\n  ringmaster certs node c1 --role coordinator",
	"ringmaster certs init":          "  ringmaster certs init --dir certs",
	"ringmaster certs node":          "  ringmaster certs node c1 --role coordinator\n  ringmaster certs node w1 --token-file token --join 10.0.0.1:7070",
	"ringmaster certs show":          "  ringmaster certs show certs",
	"ringmaster certs token":         "  ringmaster certs token --role worker > token",
	"ringmaster chaos":               "  ringmaster chaos configs/quickstart.yaml --workers 3",
	"ringmaster checkpoints":         "  ringmaster checkpoints list runs/quickstart-1\n  ringmaster checkpoints verify runs/quickstart-1",
	"ringmaster checkpoints export":  "  ringmaster checkpoints export runs/quickstart-1 --out model.safetensors",
	"ringmaster checkpoints list":    "  ringmaster checkpoints list runs/quickstart-1",
	"ringmaster checkpoints verify":  "  ringmaster checkpoints verify runs/quickstart-1",
	"ringmaster coordinators":        "  ringmaster coordinators list --cluster coordinator-1:7000",
	"ringmaster coordinators list":   "  ringmaster coordinators list --cluster coordinator-1:7000 --certs certs",
	"ringmaster coordinators remove": "  ringmaster coordinators remove c3 --cluster coordinator-1:7000",
	"ringmaster data":                "  ringmaster data inspect data/train.csv",
	"ringmaster data inspect":        "  ringmaster data inspect data/train.csv",
	"ringmaster data pack":           "  ringmaster data pack configs/mnist-mlp.yaml --out packed",
	"ringmaster data split":          "  ringmaster data split data/train.csv --out parts",
	"ringmaster eval":                "  ringmaster eval runs/quickstart-1",
	"ringmaster export":              "  ringmaster export runs/quickstart-1 --format onnx --out model.onnx",
	"ringmaster jobs cancel":         "  ringmaster jobs cancel mnist",
	"ringmaster jobs list":           "  ringmaster jobs list --cluster coordinator-1:7000 --json",
	"ringmaster jobs pause":          "  ringmaster jobs pause mnist --cluster coordinator-1:7000",
	"ringmaster jobs priority":       "  ringmaster jobs priority mnist 10\n  ringmaster jobs priority mnist -- -5",
	"ringmaster jobs resume":         "  ringmaster jobs resume mnist",
	"ringmaster jobs save":           "  ringmaster jobs save mnist",
	"ringmaster jobs show":           "  ringmaster jobs show mnist --json",
	"ringmaster jobs stop":           "  ringmaster jobs stop mnist",
	"ringmaster launch":              "  ringmaster launch configs/quickstart.yaml\n  ringmaster launch configs/mnist-mlp.yaml --workers 4 --coordinators 3 --set train.epochs=2\n  ringmaster launch configs/mnist-mlp.yaml --resume",
	"ringmaster predict":             "  ringmaster predict runs/quickstart-1 --input samples.csv --out predictions.csv",
	"ringmaster scale":               "  ringmaster scale --workers 2\n  ringmaster scale --workers 4 --cluster coordinator-1:7000 --certs certs",
	"ringmaster status":              "  ringmaster status\n  ringmaster status --cluster coordinator-1:7000 --json",
	"ringmaster tokenizer":           "  ringmaster tokenizer encode --tokenizer tokenizer.json \"To be or not\"",
	"ringmaster validate":            "  ringmaster validate configs/quickstart.yaml --set train.epochs=2",
	"ringmaster version":             "  ringmaster version",
	"ringmaster help":                "  ringmaster help launch",
}

// exemplify gives every command that has no example of its own one of these.
func exemplify(cmd *cobra.Command) {
	if cmd.Example == "" {
		cmd.Example = examples[cmd.CommandPath()]
	}
	for _, sub := range cmd.Commands() {
		exemplify(sub)
	}
}
