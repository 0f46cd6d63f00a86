//! The texts of all pages, in every language.
//!
//! One line per text. A text that is missing in a language does not compile. `{}` is replaced by [`fill`].

use crate::accounts::Role;

/// Declares the catalogue: the name of a text, then the text in each language.
macro_rules! catalogue {
    ($($(#[doc = $doc:literal])* $name:ident: $english:literal, $swedish:literal;)*) => {
        /// The texts in one language.
        #[derive(Debug)]
        pub(super) struct Texts {
            $($(#[doc = $doc])* pub(super) $name: &'static str,)*
        }

        pub(super) static ENGLISH: Texts = Texts { $($name: $english,)* };
        pub(super) static SWEDISH: Texts = Texts { $($name: $swedish,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $swedish)),*];
    };
}

catalogue! {
    skip_to_content: "Skip to content", "Hoppa till innehållet";
    menu: "Menu", "Meny";
    cancel: "Cancel", "Avbryt";
    continue_: "Continue", "Fortsätt";

    // Log in
    log_in: "Log in", "Logga in";
    username: "User name", "Användarnamn";
    password: "Password", "Lösenord";
    remember_me: "Keep me logged in on this device", "Håll mig inloggad på den här enheten";
    show_password: "Show password", "Visa lösenordet";
    hide_password: "Hide password", "Dölj lösenordet";
    not_logged_in: "You are not logged in. Log in to continue.", "Du är inte inloggad. Logga in för att fortsätta.";
    logged_out: "You are logged out.", "Du är utloggad.";
    password_changed: "Your password is changed. Your other sessions have ended.", "Ditt lösenord är ändrat. Dina övriga sessioner är avslutade.";

    // Continue
    continuing: "You are logged in", "Du är inloggad";
    continue_by_itself: "You are being redirected. If nothing happens, follow the link.", "Du skickas vidare. Om inget händer, följ länken.";

    // Log out
    log_out: "Log out", "Logga ut";
    log_out_question: "Do you want to log out on this device?", "Vill du logga ut på den här enheten?";
    log_out_without_session: "You are not logged in on this device.", "Du är inte inloggad på den här enheten.";

    // Account
    account: "Account", "Konto";
    profile: "Profile", "Profil";
    display_name: "Name", "Namn";
    email: "Email address", "E-postadress";
    role: "Role", "Roll";
    role_user: "User", "Användare";
    role_contributor: "Contributor", "Bidragsgivare";
    role_admin: "Administrator", "Administratör";
    role_superuser: "Superuser", "Superanvändare";
    not_set: "not set", "saknas";
    sessions: "Sessions", "Sessioner";
    sessions_help: "Each device on which you are logged in has a session. End a session that you do not recognise, and change your password.", "Varje enhet där du är inloggad har en session. Avsluta en session som du inte känner igen och byt lösenord.";
    this_session: "This session", "Den här sessionen";
    unknown_device: "Unknown device", "Okänd enhet";
    network: "Network", "Nätverk";
    unknown: "unknown", "okänt";
    first_seen: "First seen", "Först sedd";
    last_seen: "Last seen", "Senast sedd";
    expires: "Expires", "Går ut";
    end_session: "End session", "Avsluta sessionen";
    end_other_sessions: "End all other sessions", "Avsluta alla övriga sessioner";
    session_ended: "The session has ended.", "Sessionen är avslutad.";
    other_sessions_ended: "Your other sessions have ended.", "Dina övriga sessioner är avslutade.";
    session_gone: "The session had already ended.", "Sessionen var redan avslutad.";

    // Password
    change_password: "Change password", "Byt lösenord";
    current_password: "Current password", "Nuvarande lösenord";
    new_password: "New password", "Nytt lösenord";
    new_password_help: "8 to 128 characters, not easy to guess. Several uncommon words are good.", "8–128 tecken och svårt att gissa. Flera ovanliga ord fungerar bra.";
    repeat_password: "Repeat the new password", "Upprepa det nya lösenordet";
    password_change_help: "Your other sessions end.", "Dina övriga sessioner avslutas.";
    passwords_differ: "The two new passwords are not the same.", "De två nya lösenorden stämmer inte överens.";
    wrong_password: "The current password is wrong.", "Det nuvarande lösenordet är fel.";
    too_short: "The new password is too short.", "Det nya lösenordet är för kort.";
    too_long: "The new password is too long.", "Det nya lösenordet är för långt.";
    too_easy: "The new password is too easy to guess.", "Det nya lösenordet är för lätt att gissa.";
    missing: "Fill in all fields.", "Fyll i alla fält.";

    // Errors
    error_summary: "There is a problem", "Det finns ett problem";
    wrong_credentials: "The user name or the password is wrong.", "Användarnamnet eller lösenordet är fel.";
    too_many_attempts: "Too many attempts. Try again in {}.", "För många försök. Försök igen om {}.";
    second: "{} second", "{} sekund";
    seconds: "{} seconds", "{} sekunder";
    minute: "{} minute", "{} minut";
    minutes: "{} minutes", "{} minuter";
    bad_request: "The request is invalid", "Begäran är ogiltig";
    bad_request_text: "The service could not read the request. Go back and try again.", "Tjänsten kunde inte tolka begäran. Gå tillbaka och försök igen.";
    forbidden: "You are not allowed to see this page", "Du har inte tillgång till den här sidan";
    forbidden_text: "Your role does not allow it. Ask an administrator for access.", "Din roll ger inte åtkomst. Be en administratör om det.";
    outdated: "The form is outdated", "Formuläret är inaktuellt";
    outdated_text: "The form comes from another site or from an earlier session. Nothing was changed. Open the page again.", "Formuläret kommer från en annan webbplats eller en tidigare session. Inget har ändrats. Öppna sidan igen.";
    not_found: "The page does not exist", "Sidan finns inte";
    not_found_text: "Check the address.", "Kontrollera adressen.";
    too_many: "Too many attempts", "För många försök";
    session_over: "Your session has ended", "Din session är avslutad";
    session_over_text: "Log in again, and check whether your change was made.", "Logga in igen och kontrollera om din ändring gjordes.";
    unavailable: "The service is not available at the moment", "Tjänsten är inte tillgänglig just nu";
    unavailable_text: "Try again in a moment.", "Försök igen om en stund.";
    internal: "Something went wrong", "Något gick fel";
    internal_text: "The error was recorded. Try again later.", "Felet har registrerats. Försök igen senare.";
    error_status: "Status {}", "Status {}";
}

/// Replaces the first `{}` of a text.
pub(super) fn fill(text: &str, value: &str) -> String {
    text.replacen("{}", value, 1)
}

impl Texts {
    /// Returns the name of a role.
    pub(super) const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::User => self.role_user,
            Role::Contributor => self.role_contributor,
            Role::Admin => self.role_admin,
            Role::Superuser => self.role_superuser,
        }
    }

    /// Explains that there were too many attempts, with the seconds until the next one.
    pub(super) fn too_many_attempts_for(&self, seconds: u64) -> String {
        fill(self.too_many_attempts, &self.duration(seconds))
    }

    /// Formats a number of seconds, rounded up to minutes above two minutes.
    pub(super) fn duration(&self, seconds: u64) -> String {
        let (one, many, number) = if seconds <= 120 {
            (self.second, self.seconds, seconds)
        } else {
            (self.minute, self.minutes, seconds.div_ceil(60))
        };
        fill(if number == 1 { one } else { many }, &number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_says_something_with_the_same_placeholders_in_all_languages() {
        for (name, english, swedish) in ALL {
            let placeholders = |text: &str| text.matches("{}").count();
            assert_eq!(placeholders(english), placeholders(swedish), "{name}");
            for text in [english, swedish] {
                assert!(!text.trim().is_empty() && text.trim() == *text, "{name}");
                let is_sentence = |text: &str| text.ends_with('.') || text.ends_with('?');
                assert_eq!(is_sentence(text), is_sentence(english), "{name}");
            }
        }
    }

    #[test]
    fn durations_are_in_the_unit_that_a_person_would_use() {
        for (seconds, english, swedish) in [
            (1, "1 second", "1 sekund"),
            (2, "2 seconds", "2 sekunder"),
            (120, "120 seconds", "120 sekunder"),
            (121, "3 minutes", "3 minuter"),
            (900, "15 minutes", "15 minuter"),
        ] {
            assert_eq!(ENGLISH.duration(seconds), english);
            assert_eq!(SWEDISH.duration(seconds), swedish);
        }
    }
}
