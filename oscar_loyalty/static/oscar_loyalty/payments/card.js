/* Stripe's Payment Element: turns the card into a token in the browser and posts only the token. */
(function () {
    "use strict";
    var form = document.getElementById("loyalty-card-form");
    if (!form || !form.dataset.publishableKey || !form.dataset.amount) {
        return;
    }
    var problem = document.getElementById("loyalty-card-error");
    var button = form.querySelector("button[type=submit]");

    function show(message) {
        problem.textContent = message;
        problem.hidden = !message;
    }

    if (typeof window.Stripe !== "function") {
        show(form.dataset.unreachable);
        button.disabled = true;
        return;
    }
    var stripe = window.Stripe(form.dataset.publishableKey, {locale: form.dataset.locale});
    var elements = stripe.elements({
        mode: "payment",
        amount: Number(form.dataset.amount),
        currency: form.dataset.currency,
        captureMethod: "manual",
        paymentMethodCreation: "manual",
        paymentMethodTypes: ["card"]
    });
    elements.create("payment").mount("#loyalty-card-element");

    form.addEventListener("submit", function (event) {
        event.preventDefault();
        button.disabled = true;
        show("");
        elements.submit().then(function (checked) {
            return checked.error ? checked : stripe.createPaymentMethod({elements: elements});
        }).then(function (made) {
            if (made.error) {
                show(made.error.message);
                button.disabled = false;
                return;
            }
            form.elements.payment_method.value = made.paymentMethod.id;
            form.submit();
        });
    });
})();
