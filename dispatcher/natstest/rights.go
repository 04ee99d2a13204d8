package natstest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// Rights are the subjects that a user may publish and subscribe to, and no
// others.
type Rights struct{ Publish, Subscribe []string }

// Permissions are the rights as a server's own configuration has them.
func (r Rights) Permissions() *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: r.Publish},
		Subscribe: &server.SubjectPermission{Allow: r.Subscribe},
	}
}

// Without returns the rights but for one.
func (r Rights) Without(subject string) Rights {
	return Rights{Publish: without(r.Publish, subject), Subscribe: without(r.Subscribe, subject)}
}

func without(subjects []string, one string) (others []string) {
	for _, subject := range subjects {
		if subject != one {
			others = append(others, subject)
		}
	}
	return others
}

// Documented reads the rights of each role from docs/security.md: the section
// about NATS has a heading for each, and a table whose first cell says what the
// names in the second are: subjects to publish or to subscribe to, or roles
// whose rights are included.
func Documented(tb testing.TB, file string) map[string]Rights {
	tb.Helper()
	text, err := os.ReadFile(file)
	require.NoError(tb, err)
	_, section, found := strings.Cut(string(text), "\n## Rights in NATS\n")
	require.True(tb, found, "the section about rights")
	section, _, _ = strings.Cut(section, "\n## ")
	roles := make(map[string]Rights)
	for part := range strings.SplitSeq(section, "\n### ") {
		if role, tables, found := strings.Cut(part, "\n"); found && strings.Contains(tables, "\n| right |") {
			roles[role] = documentedRole(tb, tables, roles)
		}
	}
	return roles
}

func documentedRole(tb testing.TB, tables string, roles map[string]Rights) (r Rights) {
	tb.Helper()
	for row := range strings.Lines(tables) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 {
			continue
		}
		names := quoted(cells[2])
		switch strings.TrimSpace(cells[1]) {
		case "publish":
			r.Publish = append(r.Publish, names...)
		case "subscribe":
			r.Subscribe = append(r.Subscribe, names...)
		case "all of":
			for _, name := range names {
				require.Contains(tb, roles, name)
				r.Publish = append(r.Publish, roles[name].Publish...)
				r.Subscribe = append(r.Subscribe, roles[name].Subscribe...)
			}
		}
	}
	require.NotEmpty(tb, r.Publish)
	require.NotEmpty(tb, r.Subscribe)
	return r
}

// quoted lists what stands in backquotes.
func quoted(text string) (all []string) {
	for _, match := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}
