package protocol_test

// redisKey is the key of the one identity.
type redisKey struct {
	owner     owner
	holder    holder
	inherited bool
	age       age
}

// ask is Store.Claim.
func (k *redisKey) ask(by owner, as holder, replaces owner) string {
	switch {
	case k.owner == nobody, k.owner != by && k.owner == replaces:
		*k = redisKey{owner: by, holder: as}
		return "fresh"
	case k.owner == sentMark:
		return "sent"
	case k.owner == by && k.holder == as:
		k.age = young
		if k.inherited {
			return "inherited before"
		}
		return "fresh"
	case k.owner == by && k.age >= released, k.age == vanished:
		*k = redisKey{owner: by, holder: as, inherited: true}
		return "inherited"
	default:
		return "held"
	}
}

// confirm is Store.Confirm.
func (k *redisKey) confirm() { *k = redisKey{owner: sentMark} }

// release is Store.Release.
func (k *redisKey) release(by owner, as holder, doubtful bool) {
	if k.owner == by && k.holder == as && (doubtful || !k.inherited) {
		*k = redisKey{}
	}
}

// orphan tells that a delivery has come to its end: nobody will ask for it.
func (k *redisKey) orphan(by owner, as holder) {
	if k.owner == by && k.holder == as {
		k.holder, k.inherited = 0, false
	}
}
