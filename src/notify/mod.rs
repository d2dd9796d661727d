//! Telling people: messages to webhooks, mail and trackers, kept until they are delivered.
