// Makes the redemption box nicer; every form in it works without. No rule is here: the server decides.
(function () {
    "use strict";

    document.documentElement.classList.add("loyalty-js");

    const parts = (form) => ({
        number: form.querySelector("input[type=number]"),
        range: form.querySelector("input[type=range]"),
        live: form.querySelector("[aria-live]"),
        step: Number(form.dataset.step) || 1,
        maximum: Number(form.dataset.maximum),
    });

    function moneySaved(form, points, digits) {
        const data = form.dataset;
        if (points >= Number(data.maximum)) return Number(data.maximumAmount);
        const coins = 10 ** digits;
        // Rounded down to the coin, as the server does; 29 hundredths are not 28 because of binary fractions.
        return Math.floor((points * Number(data.rateAmount) * coins) / Number(data.ratePoints) + 1e-6) / coins;
    }

    function announce(form, points) {
        const { live } = parts(form);
        if (!form.dataset.ratePoints || !Number.isFinite(points)) return;
        const language = document.documentElement.lang || undefined;
        const money = new Intl.NumberFormat(language, { style: "currency", currency: form.dataset.currency });
        const digits = money.resolvedOptions().maximumFractionDigits;
        live.textContent = form.dataset.text
            .replace("{points}", new Intl.NumberFormat(language).format(points))
            .replace("{amount}", money.format(moneySaved(form, points, digits)));
    }

    function choose(form, points) {
        const { number, range, maximum } = parts(form);
        const chosen = Math.max(0, Math.min(points, maximum));
        number.value = chosen;
        range.value = chosen;
        announce(form, chosen);
    }

    document.addEventListener("click", (event) => {
        const button = event.target.closest("[data-loyalty-change]");
        if (!button) return;
        const form = button.closest("form");
        const { number, step } = parts(form);
        choose(form, Number(number.value) + step * Number(button.dataset.loyaltyChange));
    });

    document.addEventListener("input", (event) => {
        const form = event.target.closest && event.target.closest("form.loyalty-redeem");
        if (!form) return;
        const { range, maximum } = parts(form);
        const points = Number(event.target.value);
        if (event.target === range) {
            // The end of the slider is the most that can be used, whether or not a step ends there.
            choose(form, points + parts(form).step > maximum ? maximum : points);
        } else {
            range.value = points;
            announce(form, Math.min(points, maximum));
        }
    });

    document.addEventListener("submit", (event) => {
        const form = event.target;
        if (!form.classList.contains("loyalty-once")) return;
        if (form.dataset.sent) event.preventDefault();
        form.dataset.sent = "1";
    });

    // A page that comes back from the browser's memory can send its forms again.
    window.addEventListener("pageshow", () => {
        document.querySelectorAll("form.loyalty-once").forEach((form) => delete form.dataset.sent);
    });
})();
