"""What the quickstart's customers write about: thirty-six ticket families in five categories.

A family is one kind of trouble told in several ways. Every sentence is ours. The category of a ticket is the category of its family; which
families train the model and which are held out is said in `../quickstart.yaml`.
"""

# Which team answers which category.
TEAMS = {
    "billing": "payments",
    "delivery": "logistics",
    "access": "identity",
    "bug": "engineering",
    "question": "success",
}

# Family: (category, subjects, problems). Braces are slots of `make_rows.SLOTS`.
FAMILIES = {
    # -- billing: money that moved, or should have moved
    "charged-twice": ("billing", ["Charged twice", "Double charge in {month}", "Two payments, one order"], [
        "You charged my card twice for order {order}.",
        "My bank statement shows two payments of {amount} for the same {product}.",
        "I paid {amount} once, but the money was taken a second time in {month}.",
        "Order {order} was billed two times, so I am {amount} short.",
    ]),
    "invoice-vat": ("billing", ["VAT number missing", "Invoice {order}", "Wrong invoice"], [
        "The invoice for order {order} does not show our VAT number.",
        "Our accountant rejects the {month} invoice because the VAT line is missing.",
        "Please issue invoice {order} again with the tax number of our company.",
        "Invoice {order} lists {amount} without any VAT.",
    ]),
    "card-declined": ("billing", ["Card declined", "Payment does not go through", "Cannot pay"], [
        "My credit card is declined each time I try to pay {amount} for the {product}.",
        "The payment page refuses every credit card, although the bank sees no problem.",
        "I wanted to pay invoice {order}, but the payment of {amount} is declined.",
        "Paying the {product} by card fails with the words payment refused.",
    ]),
    "refund-late": ("billing", ["Where is my refund", "Refund {order}", "Money back"], [
        "I returned the {product} in {month} and the refund of {amount} has not arrived.",
        "You promised a refund of {amount} for order {order} within {n} days.",
        "My money for the cancelled order {order} was never paid back.",
        "The refund for the {product} is {n} days late.",
    ]),
    "wrong-amount": ("billing", ["Wrong amount", "Invoice too high", "Billed {amount}?"], [
        "The invoice says {amount}, but the price on the page was lower.",
        "You billed {n} seats, and we only have half of them.",
        "The discount of {n} percent is missing on invoice {order}.",
        "For the {product} I was billed {amount}, which is not the agreed price.",
    ]),
    "direct-debit": ("billing", ["Direct debit", "New bank account", "Change of bank details"], [
        "Please take the fee for the {product} from our new bank account.",
        "The direct debit of {amount} went to the account we closed in {month}.",
        "We changed banks, so the monthly payment for the {product} must come from another account.",
        "Your direct debit for invoice {order} bounced because the bank details are old.",
    ]),
    "renewal-charge": ("billing", ["Unwanted renewal", "Subscription renewed", "Renewal in {month}"], [
        "My subscription was renewed for {amount} although I cancelled it in {month}.",
        "You took the yearly fee for the {product} after I ended the subscription.",
        "I did not agree to the renewal charge of {amount}.",
        "A renewal payment of {amount} left my account without any notice.",
    ]),
    # -- delivery: things on their way
    "parcel-late": ("delivery", ["Parcel late", "Where is order {order}", "Still waiting"], [
        "Order {order} should have arrived {n} days ago.",
        "The parcel with my {product} has been on the road since {month}.",
        "I am still waiting for the delivery of the {product}.",
        "Tracking for parcel {order} has not moved for {n} days.",
    ]),
    "parcel-damaged": ("delivery", ["Damaged parcel", "Box crushed", "Broken on arrival"], [
        "The box with the {product} arrived crushed and wet.",
        "The courier delivered order {order} with a hole in the package.",
        "My {product} came out of the parcel in pieces.",
        "The delivery {order} was damaged in transport.",
    ]),
    "wrong-item": ("delivery", ["Wrong item", "Not what I ordered", "Order {order} mixed up"], [
        "The parcel contained a {other} instead of the {product}.",
        "I ordered a {product}, and the courier brought a {other}.",
        "Package {order} belongs to somebody else, mine should hold a {product}.",
        "You shipped the wrong item with order {order}.",
    ]),
    "address-change": ("delivery", ["New address", "Change the delivery address", "We moved"], [
        "Please ship order {order} to our new address in {city}.",
        "We moved to {city}, so the parcel with the {product} must go there.",
        "The delivery address of order {order} is wrong, it should be {city}.",
        "The courier must bring the {product} to our office in {city}.",
    ]),
    "missing-parts": ("delivery", ["Parts missing", "Incomplete delivery", "Half of order {order}"], [
        "The parcel with the {product} had no cable and no manual in it.",
        "Only half of order {order} was in the package.",
        "The shipment of {n} boxes arrived with one box missing.",
        "Two parts of the {product} were not in the delivery.",
    ]),
    "customs": ("delivery", ["Stuck in customs", "Customs papers", "Shipment held"], [
        "The shipment {order} is held at customs because a paper is missing.",
        "Customs in {city} wants a form for the delivery of the {product}.",
        "Our parcel has been stuck at the border for {n} days.",
        "The courier cannot clear order {order} through customs.",
    ]),
    "courier-no-show": ("delivery", ["Nobody came", "Courier did not ring", "Missed delivery"], [
        "The courier says he tried to deliver order {order}, but nobody rang.",
        "We waited all day in {city} and no courier came with the {product}.",
        "The courier left parcel {order} at a shop {n} kilometres away.",
        "A note says that the delivery was missed, although we were at home.",
    ]),
    # -- access: getting in
    "password-reset": ("access", ["Password reset", "Reset mail missing", "Forgot my password"], [
        "The mail to reset my password never arrives.",
        "I asked for a new password {n} times and the link has always expired.",
        "After the password reset I still cannot log in to my account.",
        "The reset link for my login says the token is not valid.",
    ]),
    "account-locked": ("access", ["Account locked", "Locked out", "Login blocked"], [
        "My account is locked after {n} wrong passwords.",
        "The login page tells me that my user is blocked.",
        "I am locked out of my account since {month}.",
        "Please unlock the login of our colleague in {city}.",
    ]),
    "two-factor": ("access", ["Login code", "New phone, no codes", "Two-factor problem"], [
        "I have a new phone and can no longer make the login codes.",
        "The six-digit code for signing in is refused every time.",
        "I lost the device with my two-factor codes, so I cannot sign in.",
        "The text message with the login code does not reach me.",
    ]),
    "new-user": ("access", ["Invite a colleague", "New user", "Login for a new colleague"], [
        "Please create a login for our new colleague in {city}.",
        "The invitation for {n} new users never reached them, so they cannot sign in.",
        "Our new colleague has no account and needs a user name.",
        "I want to invite {n} people, but the invitation link to sign up is dead.",
    ]),
    "permission": ("access", ["No permission", "Access denied", "Missing rights"], [
        "My user may not open the {month} folder, it says access denied.",
        "I need admin rights on our account to add {n} people.",
        "Since {month} my login has lost the permission to see the reports.",
        "The page says that my role has no access to the {area}.",
    ]),
    "sso": ("access", ["Single sign-on", "SSO login", "Company login"], [
        "Single sign-on with our company account sends everybody back to the login page.",
        "Since {month} our people cannot sign in through the company login.",
        "The sign-on certificate of our account expires in {n} days.",
        "Logging in with our company identity ends with the words unknown user.",
    ]),
    "close-account": ("access", ["Close my account", "Remove a user", "Delete login"], [
        "Please close my account and remove my login.",
        "A colleague left in {month}, so her user must lose all access.",
        "I want my user name and my sign-in data deleted.",
        "Disable the login of {n} people who left us.",
    ]),
    # -- bug: software that misbehaves
    "app-crash": ("bug", ["App crashes", "Crash in the {area}", "App closes by itself"], [
        "The app crashes as soon as I open the {area}.",
        "Since version {version} the program closes by itself after {n} seconds.",
        "A tap on the {area} makes the app crash.",
        "The {product} app freezes and then shuts down.",
    ]),
    "export-broken": ("bug", ["Export broken", "Empty file", "Export of the {area}"], [
        "The export of the {area} gives an empty file.",
        "In version {version} every exported table has broken letters.",
        "The export button in the {area} does nothing.",
        "Exporting {n} lines stops with error {code}.",
    ]),
    "slow-page": ("bug", ["Very slow", "Page does not load", "Slow {area}"], [
        "The app takes {n} minutes to load the {area}.",
        "Since version {version} the pages load so slowly that the browser gives up.",
        "Opening the {area} ends with a time-out, error {code}.",
        "The screen with the {area} hangs for minutes since the update.",
    ]),
    "sync-fails": ("bug", ["Sync fails", "Data not in sync", "Sync error {code}"], [
        "The {product} no longer syncs and shows error {code}.",
        "The sync between phone and browser stops at {n} percent.",
        "Changes made in the {area} disappear after each sync.",
        "Since version {version} the sync loses entries.",
    ]),
    "wrong-numbers": ("bug", ["Wrong totals", "Numbers do not add up", "Bug in the {area}"], [
        "The totals in the {area} are wrong since version {version}.",
        "The chart in the {area} shows negative numbers, which must be a bug.",
        "The {area} counts {n} entries twice.",
        "After the update the sums in the {area} no longer add up.",
    ]),
    "error-message": ("bug", ["Error {code}", "Strange error", "Error in the {area}"], [
        "Saving in the {area} ends with error {code}.",
        "A red box with error {code} covers the {area}.",
        "Version {version} shows an internal error when I press save.",
        "Every click in the {area} gives error {code}.",
    ]),
    "print-layout": ("bug", ["Printing broken", "Layout wrong", "Print of the {area}"], [
        "When I print the {area}, half of the page is cut off.",
        "Since version {version} the letters overlap on the screen.",
        "The buttons of the {area} are hidden behind the menu.",
        "The print view shows {n} blank pages, surely a bug.",
    ]),
    "notification-bug": ("bug", ["No notifications", "Alerts broken", "Notifications since {version}"], [
        "Since version {version} the app shows no notifications at all.",
        "The app shows the same alert {n} times.",
        "Alerts for the {area} appear hours late after the update.",
        "The notification bell crashes the page with error {code}.",
    ]),
    # -- question: people who want to know
    "how-to": ("question", ["How do I do this", "How to use the {area}", "A question"], [
        "How do I add a column to the {area}?",
        "Can you tell me how to copy the {area} to another team?",
        "What is the best way to set up the {product} for {n} people?",
        "Where do I find the guide for the {area}?",
    ]),
    "feature-request": ("question", ["An idea", "Suggestion for the {area}", "A wish"], [
        "It would be nice to have a dark mode in the {area}.",
        "Do you plan to add a calendar to the {area}?",
        "I suggest a button that sorts the {area} by date.",
        "Could the {product} one day work without internet?",
    ]),
    "compatibility": ("question", ["Does it work with", "Compatible?", "Before I buy"], [
        "Does the {product} work together with the {other}?",
        "Will the {product} run on a computer that is {n} years old?",
        "Can I use the {product} and the {other} at the same time?",
        "Is the {product} compatible with every {other}?",
    ]),
    "training": ("question", ["Training", "Course for beginners", "Webinar"], [
        "Do you offer a course on the {area} for {n} beginners?",
        "Is there a webinar about the {product} in {month}?",
        "Where can our team in {city} learn to use the {area}?",
        "Can somebody show us the {product} in an online lesson?",
    ]),
    "opening-hours": ("question", ["Opening hours", "When are you there", "Your shop in {city}"], [
        "When is your shop in {city} open?",
        "Is anybody at the help desk on weekends in {month}?",
        "Can I visit you in {city} and look at the {product}?",
        "How long is your office open in {month}?",
    ]),
    "warranty": ("question", ["Warranty", "How long is the guarantee", "Warranty for the {product}"], [
        "How long is the warranty on the {product}?",
        "Does the guarantee cover a {product} that is {n} months old?",
        "Is there a longer warranty for the {product}, and what does it include?",
        "Do you know if the warranty is valid in {city}?",
    ]),
    "plan-choice": ("question", ["Which plan", "Difference between the plans", "Advice needed"], [
        "Which plan would you advise for a team of {n} people?",
        "What is the difference between the small and the large plan?",
        "Does the small plan include the {area}?",
        "Could you explain which edition of the {product} suits a school in {city}?",
    ]),
}

# What says how urgent a ticket is. Nothing else does: neither the family nor the tone.
PRIORITY = {
    "high": [
        "This is urgent.",
        "It is urgent, our customers are waiting.",
        "I need it today.",
        "Please help us today, we cannot work.",
        "This is an emergency.",
        "We need help right now.",
        "Please act right now, {n} people are blocked.",
        "It must be done today.",
    ],
    "normal": [
        "Please look into it this week.",
        "I would like an answer this week.",
        "An answer by {weekday} is fine.",
        "Please take care of it by {weekday}.",
        "Let me know this week.",
        "Please get back to me by {weekday}.",
        "It should be done this week.",
    ],
    "low": [
        "There is no hurry.",
        "No hurry at all.",
        "It can wait.",
        "This can wait until next month.",
        "Take your time.",
        "There is no rush, take your time.",
        "No rush with this one.",
    ],
}

# What says how the writer feels. A calm ticket says nothing.
SENTIMENT = {
    "angry": [
        "I am furious.",
        "This is a disgrace.",
        "What a disgrace!",
        "What a terrible service!",
        "I am fed up with your terrible service.",
        "I am very angry about this.",
        "This makes me angry.",
        "I am furious and fed up.",
    ],
    "calm": [""],
    "friendly": [
        "Thank you for your great work.",
        "Many thanks, you are wonderful.",
        "Thank you, you are always so kind.",
        "Thanks, and have a lovely day.",
        "Many thanks to your friendly team.",
        "Thank you, I love your shop.",
        "You are wonderful, thank you.",
    ],
}
