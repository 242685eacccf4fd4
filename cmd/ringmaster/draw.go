package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/codes"
	"ringmaster/internal/generate"
	"ringmaster/internal/model"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
)

// canvas is where pictures go that a model draws.
type canvas struct {
	grid   string // a file with all of them; "": none
	folder string // with a file of each; "": none
}

func (c *canvas) bind(cmd *cobra.Command, count *int) {
	cmd.Flags().StringVar(&c.grid, "out", "", "pictures: PNG `file` to write, with all of them side by side")
	cmd.Flags().StringVar(&c.folder, "pictures", "", "pictures: `folder` for a PNG file of each; it must not exist, or be empty")
	cmd.Flags().IntVar(count, "count", 1, "pictures of each prompt (as --return)")
}

// drawFlags are those that only a model of pictures heeds, and undrawn those that it does not.
var (
	drawFlags = []string{"out", "pictures", "count"}
	undrawn   = []string{"max-tokens", "beams", "length-penalty", "early-stopping", "stop", "crop", "repetition-penalty"}
)

// draws reports whether pictures are asked for.
func draws(cmd *cobra.Command) bool { return slices.ContainsFunc(drawFlags, cmd.Flags().Changed) }

// check refuses what cannot be written, and flags that do not go with pictures.
func (c *canvas) check(cmd *cobra.Command) error {
	for _, name := range undrawn {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s goes with texts, and --%s with pictures; leave one out", name, drawFlags[slices.IndexFunc(drawFlags, cmd.Flags().Changed)])
		}
	}
	if c.grid != "" {
		if !strings.EqualFold(filepath.Ext(c.grid), ".png") {
			return fmt.Errorf("--out %s: its name must end in .png", c.grid)
		}
		if err := checkTarget("--out", c.grid); err != nil {
			return err
		}
	}
	if held, err := os.ReadDir(c.folder); c.folder != "" && (err == nil && len(held) > 0 || err != nil && !os.IsNotExist(err)) {
		return fmt.Errorf("--pictures %s: it must be a folder that does not exist, or is empty", c.folder)
	}
	return nil
}

// draw writes the pictures of captions.
func (w *wish) draw(t *trained) error {
	if w.canvas == (canvas{}) && !w.asJSON {
		return wrong(fmt.Errorf("job %s draws pictures: give --out FILE.png for all of them side by side, --pictures FOLDER for a file of each, or --json for their codes", t.job.Name))
	}
	prompts, where, err := w.read()
	if err != nil {
		return wrong(err)
	}
	captions := t.data.Captions
	tokens := make([][]int32, len(prompts))
	for i, prompt := range prompts {
		if tokens[i], err = captions.Encode(prompt); err != nil {
			return wrong(fmt.Errorf("%s: %w", where(i), err))
		}
	}
	coder, err := codes.Unpack(captions.Coder())
	if err != nil {
		return failed(fmt.Errorf("the autoencoder in %s: %w", t.path, err))
	}
	if err := t.load(w.threads); err != nil {
		return err
	}
	o := w.Options
	o.MaxTokens, o.Among = captions.Steps(), plan.Interval{Begin: int(captions.First()), End: captions.Len()}
	_, slots := o.Slots()
	decoder, err := t.plan.Model.NewDecoder(t.team, t.state.Params, t.state.Stats, model.DecoderOptions{Slots: slots})
	if err != nil {
		return wrong(fmt.Errorf("job %s: %w", t.job.Name, err))
	}
	texts, err := generate.Write(decoder, tokens, o, nil)
	if err != nil {
		return failed(err)
	}
	return w.hang(coder, captions.First(), prompts, tokens, texts)
}

// hang draws the pictures and writes them.
func (w *wish) hang(coder *codes.Coder, first int32, prompts []string, tokens [][]int32, texts [][]generate.Text) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	var all []image.Image
	for i, of := range texts {
		var drawn []int32
		for _, text := range of {
			if w.asJSON {
				r := record{Prompt: prompts[i], Tokens: text.Tokens, PromptTokens: tokens[i], Ended: true}
				if err := out.Encode(r); err != nil {
					return failed(err)
				}
			}
			for _, token := range text.Tokens {
				drawn = append(drawn, token-first)
			}
		}
		pictures, err := coder.Draw(drawn, len(of))
		if err != nil {
			return failed(err)
		}
		for _, picture := range pictures {
			all = append(all, picture)
			if w.folder != "" {
				if err := w.canvas.put(len(all), prompts[i], picture); err != nil {
					return err
				}
			}
		}
	}
	if w.grid != "" {
		if err := writePNG(w.grid, codes.Grid(all)); err != nil {
			return err
		}
	}
	if !w.asJSON {
		fmt.Printf("%s of %s: %s\n", plural.Of(len(all), "picture"), plural.Of(len(prompts), "prompt"), strings.Join(slices.DeleteFunc([]string{w.grid, w.folder}, func(s string) bool { return s == "" }), ", "))
	}
	return nil
}

var noWord = regexp.MustCompile(`[^\pL\pN]+`)

// put writes a picture into the folder, under its number and its caption.
func (c *canvas) put(number int, caption string, picture image.Image) error {
	if err := os.MkdirAll(c.folder, 0o755); err != nil {
		return failed(fmt.Errorf("--pictures: %w", err))
	}
	caption = noWord.ReplaceAllString(strings.ToLower(caption), "-")
	return writePNG(filepath.Join(c.folder, fmt.Sprintf("%05d-%.100s.png", number, strings.Trim(caption, "-"))), picture)
}

func writePNG(path string, picture image.Image) error {
	return writeWhole(path, func(to io.Writer) error { return failed(png.Encode(to, picture)) })
}
