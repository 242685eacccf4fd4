package main

import (
	"strings"
	"testing"
)

func TestExportFormats(t *testing.T) {
	for _, c := range []struct{ format, name, want, fault string }{
		{"", "m.safetensors", "safetensors", ""},
		{"", "m.SafeTensors", "safetensors", ""},
		{"", "m", "safetensors", ""},
		{"", "m.onnx", "onnx", ""},
		{"onnx", "m", "onnx", ""},
		{"onnx", "m.onnx", "onnx", ""},
		{"safetensors", "m", "safetensors", ""},
		{"", "m.pt", "", ".pt stands for neither: name it m.safetensors or .onnx"},
		{"onnx", "m.safetensors", "", "--out m.safetensors: .safetensors does not stand for the format onnx: name it m.onnx"},
		{"safetensors", "m.onnx", "", "name it m.safetensors"},
		{"onnx", "m.bin", "", "name it m.onnx"},
		{"ONNX", "m", "", "--format ONNX: there is no such format; take safetensors, onnx, hf or peft"},
	} {
		got, err := formatOf(c.format, c.name)
		if got.name != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("--format %q --out %s: %q, %v", c.format, c.name, got.name, err)
		}
	}
}
