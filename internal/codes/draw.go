package codes

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
)

// Draw is the pictures of n times Steps codes: of one channel grey, of three in colours.
func (c *Coder) Draw(codes []int32, n int) ([]image.Image, error) {
	if len(codes) != n*c.Steps() {
		return nil, fmt.Errorf("%d codes for %d pictures of %d each", len(codes), n, c.Steps())
	}
	for i, code := range codes {
		if code < 0 || int(code) >= c.Codes() {
			return nil, fmt.Errorf("code %d at place %d: there are %d codes", code, i, c.Codes())
		}
	}
	pictures := make([]image.Image, n)
	for begin := 0; begin < n; begin += drawBatch {
		end := min(begin+drawBatch, n)
		values := c.replica.Decode(c.state.Params, c.state.Stats, codes[begin*c.Steps():end*c.Steps()], end-begin)
		size := len(values) / (end - begin)
		for i := begin; i < end; i++ {
			pictures[i] = c.data.Picture(values[(i-begin)*size:][:size])
		}
	}
	return pictures, nil
}

// drawBatch is how many pictures are drawn at a time.
const drawBatch = 64

// gap is the pixels between the pictures of a grid.
const gap = 2

// Grid is pictures of one size side by side on white, row by row, about as many in a row as there are rows.
func Grid(pictures []image.Image) image.Image {
	if len(pictures) == 0 {
		return image.NewGray(image.Rectangle{})
	}
	columns := int(math.Ceil(math.Sqrt(float64(len(pictures)))))
	rows := (len(pictures) + columns - 1) / columns
	size := pictures[0].Bounds().Size()
	area := image.Rect(0, 0, columns*(size.X+gap)+gap, rows*(size.Y+gap)+gap)
	var grid draw.Image = image.NewGray(area)
	if pictures[0].ColorModel() != color.GrayModel {
		grid = image.NewRGBA(area)
	}
	draw.Draw(grid, area, image.White, image.Point{}, draw.Src)
	for i, picture := range pictures {
		at := image.Pt(gap+i%columns*(size.X+gap), gap+i/columns*(size.Y+gap))
		draw.Draw(grid, image.Rectangle{Min: at, Max: at.Add(size)}, picture, picture.Bounds().Min, draw.Src)
	}
	return grid
}
