package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
)

// The large images that MobileNetV2 is timed on: as many classes as ImageNet has, since the last layer's size follows from them.
const (
	photoEdge    = 224
	photoClasses = 1000
)

// drawPhotos writes one image of each class. Their content does not matter for the speed: each is one colour.
func drawPhotos(dir string) error {
	for class := range photoClasses {
		picture := image.NewRGBA(image.Rect(0, 0, photoEdge, photoEdge))
		paint := color.RGBA{R: uint8(class), G: uint8(class / 4), B: uint8(7 * class), A: 255}
		for i := 0; i < len(picture.Pix); i += 4 {
			copy(picture.Pix[i:], []byte{paint.R, paint.G, paint.B, paint.A})
		}
		var file bytes.Buffer
		if err := jpeg.Encode(&file, picture, nil); err != nil {
			return fmt.Errorf("draw an image: %w", err)
		}
		folder := filepath.Join(dir, "train", fmt.Sprintf("class-%04d", class))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("draw images: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, "1.jpg"), file.Bytes(), 0o644); err != nil {
			return fmt.Errorf("draw images: %w", err)
		}
	}
	return nil
}
