package config

import "strings"

// validateCodes checks the keys of pictures that are written as codes.
func (d *Data) validateCodes(c *checker) {
	if d.Codes == "" {
		for _, key := range []string{"data.caption", "data.caption_weight"} {
			c.require(key, !c.b.origin.written(key), "%s belongs to data.codes, which is not written; leave it out", key)
		}
		return
	}
	c.require("data.caption", strings.Contains(d.Caption, "{}"), "data.caption must say where the name of the class stands, like a {}")
	c.require("data.caption", len(d.Caption) <= maxFeatures>>10, "data.caption has %d bytes, more than %d", len(d.Caption), maxFeatures>>10)
	c.require("data.caption_weight", d.CaptionWeight > 0 && d.CaptionWeight < 1, "data.caption_weight must be above 0 and below 1, not %v; the codes have the rest of the loss", d.CaptionWeight)
	changed := len(d.Augment) > 0 || d.Crop > 0 || d.Flip || d.Balance != ""
	c.require("data.codes", !changed, "data.codes encodes each picture once, so it does not go with data.augment, data.crop, data.flip and data.balance: leave these out")
}
