/* The texts; a test compares their arguments. Keep them short, and keep them the same in each language. */
#include "cloud/mail.h"

static const char *const name_link[] = {"name", "company", "link", "until", NULL};
static const char *const locked[] = {"name", "company", "time", "until", NULL};
static const char *const span[] = {"name", "company", "ticket", "from", "until", NULL};
static const char *const approved[] = {"name", "company", "ticket", "until", NULL};
static const char *const denied[] = {"name", "company", "ticket", NULL};
static const char *const summary[] = {"name", "company", "ticket", "from", "until", "reads", "changes", NULL};
static const char *const checkpoint[] = {"company", "time", "events", "checkpoint", NULL};
static const char *const approval[] = {"name", "company", "what", "until", NULL};
static const char *const emergency[] = {"name", "company", "what", "reason", "time", NULL};
static const char *const security[] = {"report", "time", NULL};
static const char *const erased[] = {"name", "company", "erasure", "time", NULL};

static const struct {
    const char *name;
    const char *const *args;
    struct mail_text text[MAIL_LANGS];
} templates[MAIL_TEMPLATES] = {
    [MAIL_INVITATION] =
        {"invitation",
         name_link,
         {{"Your account with {company}",
           "Hello {name},\n\n"
           "{company} has made an account for you at its time recording. Choose your "
           "password here, once, until {until}:\n\n{link}\n\n"
           "If you did not expect this, do nothing: without you the account stays shut."},
          {"Ihr Konto bei {company}", "Guten Tag {name},\n\n"
                                      "{company} hat für Sie ein Konto in der Zeiterfassung angelegt. Wählen Sie hier, "
                                      "einmalig und bis {until}, Ihr Passwort:\n\n{link}\n\n"
                                      "Wenn Sie das nicht erwartet haben, tun Sie nichts: Ohne Sie bleibt das Konto "
                                      "geschlossen."},
          {"Contul dumneavoastră la {company}",
           "Bună ziua, {name},\n\n"
           "{company} v-a creat un cont în sistemul de pontaj. Alegeți-vă parola aici, o singură dată, până la "
           "{until}:\n\n{link}\n\n"
           "Dacă nu așteptați acest mesaj, nu faceți nimic: fără dumneavoastră contul rămâne închis."}}},
    [MAIL_RESET] =
        {"reset",
         name_link,
         {{"A new password for {company}", "Hello {name},\n\n"
                                           "somebody, you we hope, asked for a new password of your account with "
                                           "{company}. Choose it here, once, until {until}:\n\n{link}\n\n"
                                           "Your second factor stays as it is. If it was not you, do nothing: your "
                                           "password stays as it is."},
          {"Ein neues Passwort für {company}",
           "Guten Tag {name},\n\n"
           "jemand, hoffentlich Sie, hat ein neues Passwort für Ihr Konto bei {company} angefordert. Wählen Sie es "
           "hier, einmalig und bis {until}:\n\n{link}\n\n"
           "Ihr zweiter Faktor bleibt, wie er ist. Wenn Sie es nicht waren, tun Sie nichts: Ihr Passwort bleibt, wie "
           "es ist."},
          {"O parolă nouă pentru {company}",
           "Bună ziua, {name},\n\n"
           "cineva, sperăm că dumneavoastră, a cerut o parolă nouă pentru contul dumneavoastră la {company}. Alegeți-o "
           "aici, o singură dată, până la {until}:\n\n{link}\n\n"
           "Al doilea factor rămâne neschimbat. Dacă nu ați fost dumneavoastră, nu faceți nimic: parola rămâne "
           "neschimbată."}}},
    [MAIL_LOCKED] =
        {"locked",
         locked,
         {{"Failed logins to your account with {company}",
           "Hello {name},\n\n"
           "several logins to your account with {company} have failed, the last one at {time}. So that nobody can try "
           "on and on, the next one is not looked at before {until}.\n\n"
           "If that was not you, tell your administrator, and choose another password."},
          {"Fehlgeschlagene Anmeldungen bei {company}",
           "Guten Tag {name},\n\n"
           "mehrere Anmeldungen an Ihrem Konto bei {company} sind fehlgeschlagen, die letzte um {time}. Damit niemand "
           "endlos weiterprobiert, wird die nächste erst ab {until} geprüft.\n\n"
           "Wenn Sie das nicht waren, sagen Sie es Ihrer Verwaltung und wählen Sie ein anderes Passwort."},
          {"Autentificări eșuate la {company}",
           "Bună ziua, {name},\n\n"
           "mai multe autentificări în contul dumneavoastră la {company} au eșuat, ultima la {time}. Pentru ca nimeni "
           "să nu poată încerca la nesfârșit, următoarea nu va fi verificată înainte de {until}.\n\n"
           "Dacă nu ați fost dumneavoastră, anunțați administratorul și alegeți altă parolă."}}},
    [MAIL_SUPPORT_REQUEST] =
        {"support-request",
         span,
         {{"Support asks for access to the data of {company}",
           "Hello {name},\n\n"
           "for ticket {ticket} our support asks for access to data of {company}, from {from} until {until} at the "
           "most. Nobody of us sees anything until one of you has approved it.\n\n"
           "What exactly is asked for, and why, stands in the administration under support; approve or deny it there."},
          {"Der Support bittet um Zugang zu Daten von {company}",
           "Guten Tag {name},\n\n"
           "für das Ticket {ticket} bittet unser Support um Zugang zu Daten von {company}, von {from} bis längstens "
           "{until}. Niemand von uns sieht etwas, bevor jemand von Ihnen zugestimmt hat.\n\n"
           "Was genau erbeten wird und warum, steht in der Verwaltung unter Support; dort stimmen Sie zu oder lehnen "
           "ab."},
          {"Asistența cere acces la datele companiei {company}",
           "Bună ziua, {name},\n\n"
           "pentru tichetul {ticket}, asistența noastră cere acces la date ale companiei {company}, de la {from} până "
           "cel târziu la {until}. Nimeni dintre noi nu vede nimic înainte ca unul dintre dumneavoastră să aprobe.\n\n"
           "Ce anume se cere și de ce găsiți în administrare, la asistență; acolo aprobați sau refuzați."}}},
    [MAIL_SUPPORT_APPROVED] =
        {"support-approved",
         approved,
         {{"Support access to the data of {company} was approved",
           "Hello {name},\n\n"
           "the access that support had asked for with ticket {ticket} to data of {company} was approved. It ends by "
           "itself at {until}; it can be watched, and ended, in the administration under support."},
          {"Zugang des Supports zu Daten von {company} erlaubt",
           "Guten Tag {name},\n\n"
           "der Zugang zu Daten von {company}, um den der Support mit dem Ticket {ticket} gebeten hatte, wurde "
           "erlaubt. "
           "Er endet von selbst um {until}; in der Verwaltung unter Support können Sie ihn verfolgen und beenden."},
          {"Accesul asistenței la datele companiei {company} a fost aprobat",
           "Bună ziua, {name},\n\n"
           "accesul la date ale companiei {company}, cerut de asistență cu tichetul {ticket}, a fost aprobat. Se "
           "încheie singur la {until}; în administrare, la asistență, îl puteți urmări și opri."}}},
    [MAIL_SUPPORT_DENIED] =
        {"support-denied",
         denied,
         {{"Support access to the data of {company} was denied",
           "Hello {name},\n\n"
           "the access that support had asked for with ticket {ticket} to data of {company} was denied. Nobody of us "
           "has seen anything."},
          {"Zugang des Supports zu Daten von {company} abgelehnt",
           "Guten Tag {name},\n\n"
           "der Zugang zu Daten von {company}, um den der Support mit dem Ticket {ticket} gebeten hatte, wurde "
           "abgelehnt. Niemand von uns hat etwas gesehen."},
          {"Accesul asistenței la datele companiei {company} a fost refuzat",
           "Bună ziua, {name},\n\n"
           "accesul la date ale companiei {company}, cerut de asistență cu tichetul {ticket}, a fost refuzat. Nimeni "
           "dintre noi nu a văzut nimic."}}},
    [MAIL_SUPPORT_SUMMARY] =
        {"support-summary",
         summary,
         {{"What support did at {company}", "Hello {name},\n\n"
                                            "the access of support to data of {company} for ticket {ticket}, from "
                                            "{from} until {until}, has ended.\n\n"
                                            "Reads: {reads}\nChanges: {changes}\n\n"
                                            "Each of them stands in the audit trail."},
          {"Was der Support bei {company} getan hat",
           "Guten Tag {name},\n\n"
           "der Zugang des Supports zu Daten von {company} für das Ticket {ticket}, von {from} bis {until}, ist "
           "beendet.\n\n"
           "Lesezugriffe: {reads}\nÄnderungen: {changes}\n\n"
           "Jeder davon steht im Protokoll."},
          {"Ce a făcut asistența la {company}",
           "Bună ziua, {name},\n\n"
           "accesul asistenței la date ale companiei {company} pentru tichetul {ticket}, de la {from} până la {until}, "
           "s-a încheiat.\n\n"
           "Citiri: {reads}\nModificări: {changes}\n\n"
           "Fiecare se află în jurnalul de audit."}}},
    [MAIL_BREAKGLASS] =
        {"breakglass",
         span,
         {{"Emergency access to the data of {company}",
           "Hello {name},\n\n"
           "two of our people have opened an emergency access to data of {company}, for ticket {ticket}, from {from} "
           "until {until} at the most. It is for security or availability only, and we owe you its review.\n\n"
           "It can be watched, and ended, in the administration under support; all of it stands in the audit trail."},
          {"Notfallzugang zu Daten von {company}",
           "Guten Tag {name},\n\n"
           "zwei unserer Leute haben für das Ticket {ticket} einen Notfallzugang zu Daten von {company} geöffnet, von "
           "{from} bis längstens {until}. Er dient nur der Sicherheit oder Verfügbarkeit, und wir schulden Ihnen "
           "seine Nachprüfung.\n\n"
           "In der Verwaltung unter Support können Sie ihn verfolgen und beenden; alles steht im Protokoll."},
          {"Acces de urgență la datele companiei {company}",
           "Bună ziua, {name},\n\n"
           "doi dintre oamenii noștri au deschis un acces de urgență la date ale companiei {company}, pentru tichetul "
           "{ticket}, de la {from} până cel târziu la {until}. Servește numai securității sau disponibilității, iar "
           "noi "
           "vă datorăm verificarea lui.\n\n"
           "În administrare, la asistență, îl puteți urmări și opri; totul se află în jurnalul de audit."}}},
    [MAIL_CHECKPOINT] =
        {"checkpoint",
         checkpoint,
         {{"Audit checkpoint of {company}",
           "The audit trail of {company} had {events} events at {time}. Keep this message: whoever changes one of them "
           "afterwards contradicts the signed checkpoint below. `punchcloud audit verify` compares.\n\n{checkpoint}"},
          {"Prüfpunkt des Protokolls von {company}",
           "Das Protokoll von {company} hatte um {time} {events} Ereignisse. Bewahren Sie diese Nachricht auf: Wer "
           "danach eines ändert, widerspricht dem signierten Prüfpunkt unten. `punchcloud audit verify` "
           "vergleicht.\n\n{checkpoint}"},
          {"Punct de control al jurnalului companiei {company}",
           "Jurnalul de audit al companiei {company} avea {events} evenimente la {time}. Păstrați acest mesaj: cine "
           "schimbă ulterior unul dintre ele contrazice punctul de control semnat de mai jos. `punchcloud audit "
           "verify` le compară.\n\n{checkpoint}"}}},
    [MAIL_APPROVAL] =
        {"approval",
         approval,
         {{"Your approval is wanted at {company}",
           "Hello {name},\n\n"
           "at {company} a second person has to agree before this is done: {what}. Approve or deny it in the "
           "administration under approvals, until {until}."},
          {"Ihre Zustimmung ist gefragt bei {company}",
           "Guten Tag {name},\n\n"
           "bei {company} muss eine zweite Person zustimmen, bevor dies geschieht: {what}. Stimmen Sie in der "
           "Verwaltung unter Freigaben bis {until} zu, oder lehnen Sie ab."},
          {"Se cere aprobarea dumneavoastră la {company}",
           "Bună ziua, {name},\n\n"
           "la {company} o a doua persoană trebuie să fie de acord înainte de a se face aceasta: {what}. Aprobați sau "
           "refuzați în administrare, la aprobări, până la {until}."}}},
    [MAIL_ERASED] =
        {"erased",
         erased,
         {{"An erasure at {company} is done", "Hello {name},\n\n"
                                              "the erasure {erasure} at {company} was finished at {time}. Its report "
                                              "stands in the administration under erasures; it names nobody."},
          {"Eine Löschung bei {company} ist erledigt",
           "Guten Tag {name},\n\n"
           "die Löschung {erasure} bei {company} wurde um {time} abgeschlossen. Ihr Bericht steht in der Verwaltung "
           "unter Löschungen; er nennt niemanden."},
          {"O ștergere la {company} s-a încheiat",
           "Bună ziua, {name},\n\n"
           "ștergerea {erasure} de la {company} s-a încheiat la {time}. Raportul ei se află în administrare, la "
           "ștergeri; nu numește pe nimeni."}}},
    [MAIL_EMERGENCY] =
        {"emergency",
         emergency,
         {{"An account at {company} was changed by the operator",
           "Hello {name},\n\n"
           "at {time} the operator of the service changed an account at {company} past its own people: {what}. The "
           "reason given: {reason}\n\n"
           "If nobody of you asked for this, look at the accounts and the audit trail now."},
          {"Der Betreiber hat ein Konto bei {company} geändert",
           "Guten Tag {name},\n\n"
           "um {time} hat der Betreiber des Dienstes ein Konto bei {company} an Ihren eigenen Leuten vorbei geändert: "
           "{what}. Der angegebene Grund: {reason}\n\n"
           "Wenn niemand von Ihnen darum gebeten hat, sehen Sie jetzt nach den Konten und in das Protokoll."},
          {"Operatorul a modificat un cont la {company}",
           "Bună ziua, {name},\n\n"
           "la {time} operatorul serviciului a modificat un cont la {company} fără oamenii companiei: {what}. Motivul "
           "indicat: {reason}\n\n"
           "Dacă niciunul dintre dumneavoastră nu a cerut acest lucru, verificați acum conturile și jurnalul."}}},
    [MAIL_SECURITY] =
        {"security",
         security,
         {{"A security report has come in",
           "At {time} somebody reported a security problem: {report}. An operator's token reads it at "
           "GET /v1/security-reports/{report}; what it says stands in no mail."},
          {"Ein Sicherheitsproblem wurde gemeldet",
           "Um {time} hat jemand ein Sicherheitsproblem gemeldet: {report}. Ein Token des Betreibers liest es unter "
           "GET /v1/security-reports/{report}; in keiner Mail steht, was darin steht."},
          {"A fost raportată o problemă de securitate",
           "La {time} cineva a raportat o problemă de securitate: {report}. Un token al operatorului o citește la "
           "GET /v1/security-reports/{report}; conținutul ei nu apare în niciun mesaj."}}},
};

const char *mail_template_name(enum mail_template t)
{
    ASSERT(t < MAIL_TEMPLATES);
    return templates[t].name;
}

const char *const *mail_args(enum mail_template t)
{
    ASSERT(t < MAIL_TEMPLATES);
    return templates[t].args;
}

const struct mail_text *mail_text(enum mail_template t, enum mail_lang l)
{
    ASSERT(t < MAIL_TEMPLATES && l < MAIL_LANGS);
    return &templates[t].text[l];
}
