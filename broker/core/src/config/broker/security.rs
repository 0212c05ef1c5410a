//! Keys of TLS, SASL, and who may do what.

use super::super::key::ConfigType::{
    Boolean, Choice, ChoiceAnyCase, Class, Int, List, Password, Text,
};
use super::super::key::{ANY_DOUBLE, ANY_INT, ANY_LONG, ANY_SHORT, LONG_FROM_1};
use super::Update::{PerBroker, PerListener, ReadOnly};
use super::effect::{Applied, NO_AUTH, NO_KERBEROS, NO_OAUTH, NO_PLUGINS, NO_TOKENS, NODE_PROOF};
use super::{BrokerKey, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "authorizer.class.name", Text, Some(""), ReadOnly, Applied,
        "Set, ACLs decide who may do what, whichever of Kafka's classes it names; empty, everybody may do everything.";
    "delegation.token.expiry.check.interval.ms", LONG_FROM_1, Some("3600000"), ReadOnly, NO_TOKENS,
        "Time between two removals of expired delegation tokens.";
    "delegation.token.expiry.time.ms", LONG_FROM_1, Some("86400000"), ReadOnly, NO_TOKENS,
        "How long a delegation token holds before it must be renewed.";
    "delegation.token.max.lifetime.ms", LONG_FROM_1, Some("604800000"), ReadOnly, NO_TOKENS,
        "How long a delegation token holds at most.";
    "delegation.token.secret.key", Password, None, ReadOnly, NO_TOKENS,
        "Key that signs delegation tokens.";
    "sasl.client.callback.handler.class", Class, None, ReadOnly, NO_PLUGINS,
        "Class that answers a SASL client's callbacks.";
    "sasl.enabled.mechanisms", List, Some("GSSAPI"), PerBroker, NO_AUTH,
        "SASL mechanisms that are offered.";
    "sasl.jaas.config", Password, None, PerBroker, NO_AUTH,
        "Users and options of a SASL mechanism, in the form of JAAS.";
    "sasl.kerberos.kinit.cmd", Text, Some("/usr/bin/kinit"), PerBroker, NO_KERBEROS,
        "Path of kinit.";
    "sasl.kerberos.min.time.before.relogin", ANY_LONG, Some("60000"), PerBroker, NO_KERBEROS,
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), PerBroker, NO_KERBEROS,
        "Rules that make short names out of Kerberos principals.";
    "sasl.kerberos.service.name", Text, None, PerBroker, NO_KERBEROS,
        "Kerberos principal under which the broker runs.";
    "sasl.kerberos.ticket.renew.jitter", ANY_DOUBLE, Some("0.05"), PerBroker, NO_KERBEROS,
        "Random part added to the renewal time of a ticket.";
    "sasl.kerberos.ticket.renew.window.factor", ANY_DOUBLE, Some("0.8"), PerBroker, NO_KERBEROS,
        "Part of a ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class", Class, None, ReadOnly, NO_PLUGINS,
        "Class that answers the callbacks of a SASL login.";
    "sasl.login.class", Class, None, ReadOnly, NO_PLUGINS,
        "Class that does a SASL login.";
    "sasl.login.connect.timeout.ms", ANY_INT, None, ReadOnly, NO_OAUTH,
        "How long connecting to the identity provider may take.";
    "sasl.login.read.timeout.ms", ANY_INT, None, ReadOnly, NO_OAUTH,
        "How long an answer of the identity provider may take.";
    "sasl.login.refresh.buffer.seconds", ANY_SHORT, Some("300"), PerBroker, NO_OAUTH,
        "Time left before a credential ends at which it is refreshed at the latest.";
    "sasl.login.refresh.min.period.seconds", ANY_SHORT, Some("60"), PerBroker, NO_OAUTH,
        "Shortest time between two refreshes of a credential.";
    "sasl.login.refresh.window.factor", ANY_DOUBLE, Some("0.8"), PerBroker, NO_OAUTH,
        "Part of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter", ANY_DOUBLE, Some("0.05"), PerBroker, NO_OAUTH,
        "Random part added to the refresh time of a credential.";
    "sasl.login.retry.backoff.max.ms", ANY_LONG, Some("10000"), ReadOnly, NO_OAUTH,
        "Longest pause between tries to log in.";
    "sasl.login.retry.backoff.ms", ANY_LONG, Some("100"), ReadOnly, NO_OAUTH,
        "First pause between tries to log in.";
    "sasl.mechanism.controller.protocol", Text, Some("GSSAPI"), ReadOnly, NODE_PROOF,
        "SASL mechanism towards controllers.";
    "sasl.mechanism.inter.broker.protocol", Text, Some("GSSAPI"), PerBroker, NODE_PROOF,
        "SASL mechanism among brokers.";
    "sasl.oauthbearer.assertion.algorithm", ChoiceAnyCase(&["ES256", "RS256"]), Some("RS256"), ReadOnly, NO_OAUTH,
        "Algorithm that signs an assertion.";
    "sasl.oauthbearer.assertion.claim.aud", Text, None, ReadOnly, NO_OAUTH,
        "Audience an assertion names.";
    "sasl.oauthbearer.assertion.claim.exp.seconds", Int { min: 0, max: 86_400 }, Some("300"), ReadOnly, NO_OAUTH,
        "How long an assertion holds.";
    "sasl.oauthbearer.assertion.claim.iss", Text, None, ReadOnly, NO_OAUTH,
        "Issuer an assertion names.";
    "sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), ReadOnly, NO_OAUTH,
        "Whether an assertion carries an id of its own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds", Int { min: 0, max: 3_600 }, Some("60"), ReadOnly, NO_OAUTH,
        "How far back an assertion begins to hold.";
    "sasl.oauthbearer.assertion.claim.sub", Text, None, ReadOnly, NO_OAUTH,
        "Subject an assertion names.";
    "sasl.oauthbearer.assertion.file", Text, None, ReadOnly, NO_OAUTH,
        "File with a finished assertion.";
    "sasl.oauthbearer.assertion.private.key.file", Text, None, ReadOnly, NO_OAUTH,
        "File with the key that signs an assertion.";
    "sasl.oauthbearer.assertion.private.key.passphrase", Password, None, ReadOnly, NO_OAUTH,
        "Pass phrase of the key that signs an assertion.";
    "sasl.oauthbearer.assertion.template.file", Text, None, ReadOnly, NO_OAUTH,
        "File with header and claims that every assertion carries.";
    "sasl.oauthbearer.client.credentials.client.id", Text, None, ReadOnly, NO_OAUTH,
        "Client id for the grant by client credentials.";
    "sasl.oauthbearer.client.credentials.client.secret", Password, None, ReadOnly, NO_OAUTH,
        "Client secret for the grant by client credentials.";
    "sasl.oauthbearer.clock.skew.seconds", ANY_INT, Some("30"), ReadOnly, NO_OAUTH,
        "How far the clocks of broker and identity provider may differ.";
    "sasl.oauthbearer.expected.audience", List, Some(""), ReadOnly, NO_OAUTH,
        "Audiences of which a token must name one.";
    "sasl.oauthbearer.expected.issuer", Text, None, ReadOnly, NO_OAUTH,
        "Issuer a token must name.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms", ANY_LONG, Some("3600000"), ReadOnly, NO_OAUTH,
        "How often the identity provider's keys are fetched again.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ANY_LONG, Some("10000"), ReadOnly, NO_OAUTH,
        "Longest pause between tries to fetch keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ANY_LONG, Some("100"), ReadOnly, NO_OAUTH,
        "First pause between tries to fetch keys.";
    "sasl.oauthbearer.jwks.endpoint.url", Text, None, ReadOnly, NO_OAUTH,
        "Where the identity provider's keys are.";
    "sasl.oauthbearer.jwt.retriever.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"), ReadOnly, NO_PLUGINS,
        "Class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"), ReadOnly, NO_PLUGINS,
        "Class that checks tokens.";
    "sasl.oauthbearer.scope", Text, None, ReadOnly, NO_OAUTH,
        "Scope to ask for with a token.";
    "sasl.oauthbearer.scope.claim.name", Text, Some("scope"), ReadOnly, NO_OAUTH,
        "Claim in which a token carries its scope.";
    "sasl.oauthbearer.sub.claim.name", Text, Some("sub"), ReadOnly, NO_OAUTH,
        "Claim in which a token carries its subject.";
    "sasl.oauthbearer.token.endpoint.url", Text, None, ReadOnly, NO_OAUTH,
        "Where the identity provider gives out tokens.";
    "sasl.server.callback.handler.class", Class, None, ReadOnly, NO_PLUGINS,
        "Class that answers a SASL server's callbacks.";
    "sasl.server.max.receive.size", ANY_INT, Some("524288"), ReadOnly, NO_AUTH,
        "Largest message of an authentication.";
    "security.inter.broker.protocol", Choice(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Some("PLAINTEXT"), ReadOnly, NODE_PROOF,
        "Security protocol among brokers.";
    "security.providers", Text, None, ReadOnly, NO_PLUGINS,
        "Classes that add security algorithms.";
    "ssl.allow.dn.changes", Boolean, Some("false"), ReadOnly, NO_AUTH,
        "Whether a changed certificate may carry another distinguished name.";
    "ssl.allow.san.changes", Boolean, Some("false"), ReadOnly, NO_AUTH,
        "Whether a changed certificate may leave out alternative names of the old one.";
    "ssl.cipher.suites", List, Some(""), PerBroker, NO_AUTH,
        "Cipher suites that are offered; empty: all that are safe.";
    "ssl.client.auth", Choice(&["required", "requested", "none"]), Some("none"), PerBroker, NO_AUTH,
        "Whether clients must show a certificate: required, requested or none.";
    "ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), PerBroker, NO_AUTH,
        "Versions of TLS that are offered.";
    "ssl.endpoint.identification.algorithm", Text, Some("https"), PerBroker, NO_AUTH,
        "How the name in a server's certificate is checked; empty: not at all.";
    "ssl.engine.factory.class", Class, None, PerBroker, NO_PLUGINS,
        "Class that makes TLS engines.";
    "ssl.key.password", Password, None, PerListener, NO_AUTH,
        "Password of the private key.";
    "ssl.keymanager.algorithm", Text, Some("SunX509"), PerBroker, NO_PLUGINS,
        "Algorithm of Java's key manager.";
    "ssl.keystore.certificate.chain", Password, None, PerListener, NO_AUTH,
        "Certificate chain as PEM.";
    "ssl.keystore.key", Password, None, PerListener, NO_AUTH,
        "Private key as PEM.";
    "ssl.keystore.location", Text, None, PerListener, NO_AUTH,
        "File with certificate chain and private key.";
    "ssl.keystore.password", Password, None, PerListener, NO_AUTH,
        "Password of the key store.";
    "ssl.keystore.type", Text, Some("JKS"), PerListener, NO_AUTH,
        "Form of the key store.";
    "ssl.principal.mapping.rules", Text, Some("DEFAULT"), ReadOnly, NO_AUTH,
        "Rules that make short names out of the distinguished names of certificates.";
    "ssl.protocol", Text, Some("TLSv1.3"), PerBroker, NO_AUTH,
        "Newest version of TLS.";
    "ssl.provider", Text, None, PerBroker, NO_PLUGINS,
        "Java's security provider.";
    "ssl.secure.random.implementation", Text, None, PerBroker, NO_PLUGINS,
        "Java's source of randomness.";
    "ssl.trustmanager.algorithm", Text, Some("PKIX"), PerBroker, NO_PLUGINS,
        "Algorithm of Java's trust manager.";
    "ssl.truststore.certificates", Password, None, PerListener, NO_AUTH,
        "Certificates that are trusted, as PEM.";
    "ssl.truststore.location", Text, None, PerListener, NO_AUTH,
        "File with the certificates that are trusted.";
    "ssl.truststore.password", Password, None, PerListener, NO_AUTH,
        "Password of the trust store.";
    "ssl.truststore.type", Text, Some("JKS"), PerListener, NO_AUTH,
        "Form of the trust store.";
};
