package consensus

import (
	"errors"
	"path"
	"runtime"
	"strconv"
)

// Rule is a rule at the place where it is applied.
type Rule struct {
	Kind   ErrorKind // of the error if it is broken
	Text   string    // what it wants, for people
	Source string    // where it comes from, such as BIP141
}

// Trace is told by the rules themselves what they check, see Rules.Traced: so an
// explanation cannot say anything else than the verdict. Where a rule is applied many
// times, to every transaction of a block for example, one step stands for all; a trace
// is as long as there are rules. It is for one goroutine. The zero value is ready for use.
type Trace struct {
	steps   []Step
	at      map[*Rule]int // of the steps
	applied int           // how many rules were
}

// Step is one rule that was applied.
type Step struct {
	Rule  *Rule
	Where string // file and line of the source
	Times int    // how many times it was applied
	Saw   []any  // what it saw the last time: names and values in turn
	Err   error  // of the last time; nil if the rule was kept

	applied int // when it was the last time
}

// Rule notes that a rule is applied now, and to what: names and values in turn. Callers
// ask first whether there is a trace, so that it costs nothing where there is none.
func (t *Trace) Rule(rule *Rule, saw ...any) {
	i, again := t.at[rule]
	if !again {
		if t.at == nil {
			t.at = make(map[*Rule]int)
		}
		i = len(t.steps)
		t.at[rule] = i
		t.steps = append(t.steps, Step{Rule: rule, Where: caller()})
	}
	s := &t.steps[i]
	s.Times++
	s.Saw = saw
	t.applied++
	s.applied = t.applied
}

// caller is where a rule stands: the package, the file and the line.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return ""
	}
	dir, name := path.Split(file)
	return path.Join(path.Base(dir), name) + ":" + strconv.Itoa(line)
}

// Fail notes that err was the outcome of the rule of this kind that was applied last. It
// does nothing where err is no broken rule, or of one that nobody has applied.
func (t *Trace) Fail(err error) {
	kind, ok := errors.AsType[ErrorKind](err)
	if !ok {
		return
	}
	var last *Step
	for i := range t.steps {
		if s := &t.steps[i]; s.Rule.Kind == kind && (last == nil || s.applied > last.applied) {
			last = s
		}
	}
	if last != nil {
		last.Err = err
	}
}

// Steps are the rules in the order in which they were applied first. The result must
// not be changed.
func (t *Trace) Steps() []Step { return t.steps }

// Traced is the same rules, which tell t what they check.
func (r *Rules) Traced(t *Trace) *Rules {
	traced := *r
	traced.trace = t
	return &traced
}

// Spends tells t of the rules for spending coins as they were applied to checks, the
// inputs of a block or of a transaction in their order. verdict is what became of them
// when they were verified together.
func (t *Trace) Spends(checks []SpendCheck, verdict error) {
	failed, _ := errors.AsType[*RuleError](verdict)
	for i := range checks {
		c := checks[i]
		hasher := *c.hash
		hasher.trace = t
		c.hash = &hasher
		sig, err := c.Signature()
		if err == nil {
			t.Rule(ruleSignature, "input", c.Input, "key", HexBytes(c.Key[:]), "message", HexBytes(sig.Message[:]))
		}
		if failed != nil && failed.TxID == c.TxID && failed.Input == c.Input {
			return
		}
	}
}
