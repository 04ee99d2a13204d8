package metrics

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Other is the label of all datasets that have none of their own.
const Other = "other"

// maxKnown bounds how many datasets are remembered as known. Each of them has
// had an event accepted by Meta, or was set up by the operator.
const maxKnown = 100_000

// Datasets decides which datasets have series of their own. Producers can
// make datasets up, so a dataset has to be known: it is configured, it owns a
// token, or Meta has accepted an event for it. Of these, a number has a label;
// the configured ones come first. All others share [Other]. Datasets is safe for
// concurrent use.
type Datasets struct {
	ownsToken func(id string) bool
	other     *Dataset

	mu    sync.RWMutex
	free  int                 // labels
	known map[string]*Dataset // those that got no label share other
}

// NewDatasets returns what decides about labels, for most datasets at the most.
func NewDatasets(most int, configured []string, ownsToken func(id string) bool) *Datasets {
	d := &Datasets{ownsToken: ownsToken, other: newDataset(Other), free: most, known: make(map[string]*Dataset)}
	for _, id := range slices.Sorted(slices.Values(configured)) {
		d.learn(id)
	}
	return d
}

// Of returns the dataset as metrics name it now.
func (d *Datasets) Of(id string) *Dataset {
	if dataset := d.recall(id); dataset != nil {
		return dataset
	}
	if d.ownsToken(id) {
		return d.learn(id)
	}
	return d.other
}

// Accepted learns that Meta has accepted an event for a dataset.
func (d *Datasets) Accepted(id string) {
	if d.recall(id) == nil {
		d.learn(id)
	}
}

// Known reports whether a dataset is known, with or without a label.
func (d *Datasets) Known(id string) bool { return d.recall(id) != nil || d.ownsToken(id) }

func (d *Datasets) recall(id string) *Dataset {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.known[id]
}

func (d *Datasets) learn(id string) *Dataset {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dataset := d.known[id]; dataset != nil {
		return dataset
	}
	if len(d.known) >= maxKnown {
		return d.other
	}
	dataset := d.other
	if d.free > 0 {
		d.free--
		dataset = newDataset(id)
	}
	d.known[id] = dataset
	return dataset
}

// Dataset is a dataset as metrics name it.
type Dataset struct {
	label   string
	alone   []metric.AddOption // its label and nothing else
	endings *endings
}

func newDataset(label string) *Dataset {
	d := &Dataset{label: label}
	d.alone = []metric.AddOption{d.with()}
	d.endings = newEndings(d.with)
	return d
}

// Label is the value of the attribute dataset.
func (d *Dataset) Label() string { return d.label }

// with is the dataset's label among other attributes.
func (d *Dataset) with(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("dataset", d.label))...))
}
