package main

import (
	"fmt"
	"math"
	"strings"
)

// The picture has three panels side by side, each a ring, and the digests below.
const (
	width, height = 960, 372
	panelWidth    = width / 3
	ringX, ringY  = panelWidth / 2, 176
	radius        = 66.0
	nodeRadius    = 27.0
)

const style = `<style>
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 19px; font-weight: 600; text-anchor: middle; }
.note { font-size: 14px; text-anchor: middle; fill: #59636e; }
.worker { font-size: 17px; font-weight: 600; text-anchor: middle; fill: #ffffff; }
.seats { font-size: 12px; text-anchor: middle; fill: #59636e; }
.label { font-size: 15px; text-anchor: end; }
.digest { font-size: 15px; font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; }
.same { font-size: 17px; font-weight: 600; fill: #1a7f37; }
.node { fill: #0969da; }
.dead { fill: none; stroke: #cf222e; stroke-width: 2.5; stroke-dasharray: 5 4; }
.cross { stroke: #cf222e; stroke-width: 5; stroke-linecap: round; }
.killed { fill: #cf222e; font-size: 14px; font-weight: 600; text-anchor: middle; }
.link { fill: none; stroke: #0969da; stroke-width: 3; marker-end: url(#head); }
.broken { fill: none; stroke: #cf222e; stroke-width: 2.5; stroke-dasharray: 3 6; }
.head { fill: #0969da; }
.rule { stroke: #d1d9e0; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.note, .seats { fill: #9198a1; }
.worker { fill: #0d1117; }
.same { fill: #3fb950; }
.node, .head { fill: #58a6ff; }
.link { stroke: #58a6ff; }
.dead, .cross, .broken { stroke: #f85149; }
.killed { fill: #f85149; }
.rule { stroke: #3d444d; }
}
</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" markerHeight="5" orient="auto"><path class="head" d="M0 0L10 5L0 10z"/></marker></defs>
`

// draw makes the picture of a run. It is a pure function of it.
func draw(r *run) string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="A worker is killed, the ring closes without it, and the digest is that of a run in which nothing went wrong.">`+"\n", width, height)
	out.WriteString(style)
	panel(&out, 0, fmt.Sprintf("%d workers train", len(r.Before)), "gradients go round the ring", r.Before, "")
	panel(&out, 1, "one is killed", fmt.Sprintf("kill -9 %s, step %d under way", r.Killed, r.Step+1), r.Before, r.Killed)
	panel(&out, 2, "the ring closes", fmt.Sprintf("%.0f ms later, %s", r.StalledMs, lost(r.LostSteps)), r.After, "")
	fmt.Fprintf(&out, `<line class="rule" x1="40" x2="%d" y1="292" y2="292"/>`+"\n", width-40)
	same := "the same bits"
	if r.Digest != r.Undisturbed {
		same = "other bits!"
	}
	for i, line := range []struct{ label, digest string }{{"this run, after step " + fmt.Sprint(r.Steps), r.Digest}, {"a run without the kill", r.Undisturbed}} {
		y := 322 + 27*i
		fmt.Fprintf(&out, `<text class="label" x="300" y="%d">%s</text><text class="digest" x="318" y="%d">%s…</text>`+"\n", y, line.label, y, line.digest[:40])
	}
	fmt.Fprintf(&out, `<text class="same" x="735" y="336">= %s</text>`+"\n</svg>\n", same)
	return out.String()
}

func lost(steps int) string {
	if steps == 0 {
		return "no step lost"
	}
	return fmt.Sprintf("steps lost: %d", steps)
}

// panel draws a ring with its headings. The dead worker, if any, is crossed out, with its links.
func panel(out *strings.Builder, n int, title, note string, ring []seated, dead string) {
	x := float64(n*panelWidth + ringX)
	fmt.Fprintf(out, `<text class="title" x="%.0f" y="32">%d. %s</text><text class="note" x="%.0f" y="56">%s</text>`+"\n", x, n+1, title, x, note)
	at := func(i int) (float64, float64) {
		angle := 2*math.Pi*float64(i)/float64(len(ring)) - math.Pi/2
		return x + radius*math.Cos(angle), ringY + radius*math.Sin(angle)
	}
	for i, from := range ring {
		to := ring[(i+1)%len(ring)]
		x1, y1 := at(i)
		x2, y2 := at((i + 1) % len(ring))
		length := math.Hypot(x2-x1, y2-y1)
		ux, uy := (x2-x1)/length, (y2-y1)/length
		class := "link"
		if from.Worker == dead || to.Worker == dead {
			class = "broken"
		}
		const gap = nodeRadius + 5
		fmt.Fprintf(out, `<path class="%s" d="M%.1f %.1fL%.1f %.1f"/>`+"\n", class, x1+gap*ux, y1+gap*uy, x2-gap*ux, y2-gap*uy)
	}
	for i, w := range ring {
		cx, cy := at(i)
		if w.Worker == dead {
			const arm = 13
			fmt.Fprintf(out, `<circle class="dead" cx="%.1f" cy="%.1f" r="%.0f"/><path class="cross" d="M%.1f %.1fl%d %dm0 -%dl-%d %d"/><text class="killed" x="%.1f" y="%.1f">%s</text>`+"\n",
				cx, cy, nodeRadius, cx-arm, cy-arm, 2*arm, 2*arm, 2*arm, 2*arm, 2*arm, cx, cy+nodeRadius+16, w.Worker)
			continue
		}
		// The seats stand outside of the ring.
		dx := cx - x
		anchor, sx, sy := "middle", cx, cy+nodeRadius+16
		switch {
		case dx > 1:
			anchor, sx, sy = "start", cx+nodeRadius+6, cy+4
		case dx < -1:
			anchor, sx, sy = "end", cx-nodeRadius-6, cy+4
		case cy < ringY:
			anchor, sx, sy = "start", cx+nodeRadius+6, cy-6
		}
		fmt.Fprintf(out, `<circle class="node" cx="%.1f" cy="%.1f" r="%.0f"/><text class="worker" x="%.1f" y="%.1f">%s</text><text class="seats" style="text-anchor:%s" x="%.1f" y="%.1f">%s</text>`+"\n",
			cx, cy, nodeRadius, cx, cy+6, w.Worker, anchor, sx, sy, seats(w.Arc))
	}
}

// seats names an arc's seats.
func seats(arc [2]int) string {
	if arc[1]-arc[0] == 1 {
		return fmt.Sprintf("seat %d", arc[0])
	}
	return fmt.Sprintf("seats %d-%d", arc[0], arc[1]-1)
}
