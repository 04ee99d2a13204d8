// Package docs holds documents that the program quotes.
package docs

import _ "embed"

//go:embed configuration.md
var configuration string

// Configuration returns docs/configuration.md: every key with its default and
// meaning.
func Configuration() string { return configuration }
