package actors

import (
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/rs/zerolog"
)

// deadLetters logs what reached nobody. It is the only subscriber to the
// engine's events and is never reaped: one that dies without unsubscribing
// makes the engine loop on its own dead letters.
type deadLetters struct {
	log     zerolog.Logger
	observe Observer
}

func (h *house) watchDeadLetters() {
	log := h.log.With().Str("actor", "deadletters").Logger()
	h.engine.Subscribe(h.engine.Spawn(func() actor.Receiver { return deadLetters{log, h.observe} }, "deadletters", actor.WithInboxSize(16)))
}

// Receive logs letters at debug: a timer or a last report that outlives its
// actor is normal. A crash that gets past a cell is not; hollywood has logged
// it in full.
func (d deadLetters) Receive(c *actor.Context) {
	switch m := c.Message().(type) {
	case actor.DeadLetterEvent:
		d.observe.DeadLetter()
		d.log.Debug().Str("to", m.Target.GetID()).Str("letter", fmt.Sprintf("%T", m.Message)).Msg("dead letter")
	case actor.ActorRestartedEvent:
		d.observe.Restarted("hollywood")
		d.log.Error().Str("from", m.PID.GetID()).Interface("reason", m.Reason).Msg("panic outside a cell")
	}
}
