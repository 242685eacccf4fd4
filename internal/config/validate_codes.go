package config

import (
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// CaptionColumn is the column of pictures in a table that holds their captions; "" where captions are made of the names of classes.
func (d *Data) CaptionColumn() string {
	if d.Codes == "" || !d.HasPictures() || strings.Contains(d.Caption, "{}") {
		return ""
	}
	return d.Caption
}

// validateCodes checks the keys of pictures that are written as codes.
func (d *Data) validateCodes(c *checker) {
	if d.Codes == "" {
		for _, key := range []string{"data.caption", "data.caption_weight"} {
			c.require(key, !c.b.origin.written(key), "%s belongs to data.codes, which is not written; leave it out", key)
		}
		return
	}
	if d.CaptionColumn() != "" {
		d.validateCaptionColumn(c)
	} else if d.HasPictures() {
		c.require("data.caption", d.Caption != "", "data.caption is empty: name the column of the captions, or say where the name of the class stands, like a {}")
	} else {
		c.require("data.caption", strings.Contains(d.Caption, "{}"), "data.caption must say where the name of the class stands, like a {}")
	}
	c.require("data.caption", len(d.Caption) <= maxFeatures>>10, "data.caption has %d bytes, more than %d", len(d.Caption), maxFeatures>>10)
	c.require("data.caption_weight", d.CaptionWeight > 0 && d.CaptionWeight < 1, "data.caption_weight must be above 0 and below 1, not %v; the codes have the rest of the loss", d.CaptionWeight)
	changed := len(d.Augment) > 0 || d.Crop > 0 || d.Flip || d.Balance != ""
	c.require("data.codes", !changed, "data.codes encodes each picture once, so it does not go with data.augment, data.crop, data.flip and data.balance: leave these out")
}

// validateCaptionColumn checks that the column of captions is nothing else.
func (d *Data) validateCaptionColumn(c *checker) {
	shown := printable.Typed(d.Caption)
	taken := slices.Contains(append(d.FeatureColumns(), d.Image, d.Weight, d.Group), d.Caption)
	c.require("data.caption", !taken, "data.caption: %s is a feature, the picture, the weight or the group; to make captions of classes, write where the name stands, like a {}", shown)
	for _, k := range []struct {
		key     string
		written bool
	}{{"data.target", d.Target != ""}, {"data.targets", len(d.Targets) > 0}, {"data.classes", len(d.Classes) > 0}, {"data.categories", len(d.Categories) > 0}} {
		c.require(k.key, !k.written, "%s: the captions in column %s are what is learnt; leave it out, or make captions of the names of classes, like data.caption: a {}", k.key, shown)
	}
}
