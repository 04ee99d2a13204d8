package test_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
)

// The users in the example for NATS' chart have the rights that the
// documentation lists.
func TestTheExampleGivesTheDocumentedRights(t *testing.T) {
	t.Parallel()
	type subjects struct{ Allow, Deny []string }
	var example struct {
		Config struct {
			Merge struct {
				Authorization struct {
					Users []struct {
						User        string
						Permissions struct{ Publish, Subscribe subjects }
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, chartDir+"/examples/nats.yaml")), &example))
	roles := natstest.Documented(t, "../../docs/security.md")
	users := example.Config.Merge.Authorization.Users
	require.Len(t, users, 3)
	for i, role := range []string{"Worker that makes the streams", "Producer", "Replayer"} {
		want, got := roles[role], users[i].Permissions
		require.Equal(t, distinct(want.Publish), distinct(got.Publish.Allow), role)
		require.Equal(t, distinct(want.Subscribe), distinct(got.Subscribe.Allow), role)
	}
}

func distinct(subjects []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(subjects)))
}
