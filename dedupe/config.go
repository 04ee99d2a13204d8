package dedupe

import (
	"errors"
	"fmt"
	"time"
)

// minWindow is how long Meta accepts an event: a shorter memory would let a
// late copy pass.
const minWindow = 7 * 24 * time.Hour

// Config says how long things are remembered.
type Config struct {
	// Window is how long an event is remembered, sent or claimed.
	Window time.Duration `yaml:"window"`
	// Takeover is the age at which a claim whose message has not settled it
	// is given to the next copy. It must be longer than a message goes on with a
	// claim that it does not renew, and than its next delivery may take.
	Takeover time.Duration `yaml:"takeover"`
}

// DefaultConfig returns the settings a careful operator would leave alone.
func DefaultConfig() Config {
	return Config{Window: 8 * 24 * time.Hour, Takeover: 10 * time.Minute}
}

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var faults []error
	if c.Window < minWindow {
		faults = append(faults, fmt.Errorf("window: %s is shorter than the 7 days that Meta accepts an event, so a late copy would pass; set 192h", c.Window))
	}
	if c.Takeover < time.Second || c.Takeover > c.Window/2 {
		faults = append(faults, fmt.Errorf("takeover: %s is not between 1s and half of the window", c.Takeover))
	}
	return errors.Join(faults...)
}
