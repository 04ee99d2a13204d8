// Package plot draws small line charts side by side as one SVG, which reads in light
// and in dark surroundings.
package plot

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Panel is one chart: how Y depends on X. X is drawn to a logarithmic scale, Y from 0
// on.
type Panel struct {
	Title  string
	Points []Point
}

// Point is a place on a line, with what stands below it on the axis.
type Point struct {
	Label string
	X, Y  float64
}

// Sizes in pixels.
const (
	width, height  = 300, 190 // of a panel
	left, right    = 40, 20   // of its line
	top, bottom    = 34, 30
	columns        = 3
	innerW, innerH = width - left - right, height - top - bottom
)

const style = `<style>
text{font:11px system-ui,sans-serif;fill:#1f2328}
.title{font-weight:600}
.line{fill:none;stroke:#0969da;stroke-width:2}
.dot{fill:#0969da}
.axis{stroke:#8c959f;stroke-width:1}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.line{stroke:#58a6ff}.dot{fill:#58a6ff}}
</style>
`

// SVG writes the panels, in rows of three.
func SVG(out io.Writer, panels []Panel) error {
	rows := (len(panels) + columns - 1) / columns
	var text strings.Builder
	fmt.Fprintf(&text, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d">`+"\n%[3]s",
		columns*width, rows*height, style)
	for i, panel := range panels {
		fmt.Fprintf(&text, `<g transform="translate(%d,%d)">`+"\n", i%columns*width, i/columns*height)
		panel.draw(&text)
		text.WriteString("</g>\n")
	}
	text.WriteString("</svg>\n")
	_, err := io.WriteString(out, text.String())
	return err
}

func (p Panel) draw(text *strings.Builder) {
	fmt.Fprintf(text, `<text class="title" x="%d" y="16">%s</text>`+"\n", left, escape(p.Title))
	fmt.Fprintf(text, `<path class="axis" d="M%d %dV%dH%d" fill="none"/>`+"\n", left, top, top+innerH, left+innerW)
	x, y, highest := p.scales()
	fmt.Fprintf(text, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-4, top+4, figure(highest))
	fmt.Fprintf(text, `<text x="%d" y="%d" text-anchor="end">0</text>`+"\n", left-4, top+innerH)
	var line strings.Builder
	for i, at := range p.Points {
		fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(i, 1)], x(at.X), y(at.Y))
		fmt.Fprintf(text, `<circle class="dot" cx="%.1f" cy="%.1f" r="3"><title>%s: %s</title></circle>`+"\n",
			x(at.X), y(at.Y), escape(at.Label), figure(at.Y))
		fmt.Fprintf(text, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(at.X), top+innerH+16, escape(at.Label))
		fmt.Fprintf(text, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x(at.X), y(at.Y)-7, figure(at.Y))
	}
	fmt.Fprintf(text, `<path class="line" d="%s"/>`+"\n", line.String())
}

// scales returns where an X and a Y are drawn, and the highest Y that has room.
func (p Panel) scales() (x, y func(float64) float64, highest float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, at := range p.Points {
		low, high, highest = math.Min(low, at.X), math.Max(high, at.X), math.Max(highest, at.Y)
	}
	if highest == 0 {
		highest = 1
	}
	highest *= 1.15
	x = func(v float64) float64 {
		if high == low {
			return left + innerW/2
		}
		return left + 10 + (innerW-20)*math.Log(v/low)/math.Log(high/low)
	}
	y = func(v float64) float64 { return top + innerH - innerH*v/highest }
	return x, y, highest
}

// figure is a number with as many digits as tell something.
func figure(v float64) string {
	if v >= 10 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
