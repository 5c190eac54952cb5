// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Verbs.Cards;

/// <summary>
/// The cards of this process by number, and one thread that hears what happens to them, and looks once a second which
/// are there: some drivers tell nothing of a card that is to go, and wait until its users have let go of it. A card
/// that was lost is looked for. Thread-safe.
/// </summary>
internal sealed unsafe class CardSet : IDisposable
{
    private const string Stage = "verbs:open";
    private const int LookMilliseconds = 1000;

    private readonly CardLife?[] _lives;
    private readonly bool[] _up;
    private readonly RdmaOptions _options;
    private readonly GidWish _wish;
    private readonly ILogger _log;
    private readonly Thread _thread;
    private readonly int _wake;
    private volatile bool _closing;

    private CardSet(RailPort[] rails, CardLife?[] lives, RdmaOptions options, GidWish wish, int wake, ILogger log)
    {
        Rails = rails;
        _lives = lives;
        _up = Array.ConvertAll(lives, life => life is { IsUp: true });
        _options = options;
        _wish = wish;
        _wake = wake;
        _log = log;
        _thread = new Thread(Listen, 256 * 1024) { IsBackground = true, Name = "mesh-verbs" };
        long least = lives.Min(life => life!.Device.Limits.MaxMrSize);
        // Whole slices in each part: none has to be cut in two.
        PartBytes = Math.Max(least / options.SliceBytes * options.SliceBytes, options.SliceBytes);
    }

    /// <summary>The cards by number.</summary>
    public IReadOnlyList<RailPort> Rails { get; }

    /// <summary>Number of cards.</summary>
    public int Count => _lives.Length;

    /// <summary>Most memory that every card takes at once, in whole slices.</summary>
    public long PartBytes { get; }

    /// <summary>Told on the listening thread that a card moves nothing any more, and whether it is lost.</summary>
    public Action<int, bool>? OnDown { get; set; }

    /// <summary>Told on the listening thread that a card is back, and whether it had been lost.</summary>
    public Action<int, CardLife, bool>? OnUp { get; set; }

    /// <summary>A card in its present life; null while it is lost.</summary>
    public CardLife? LifeOf(int card) => Volatile.Read(ref _lives[card]);

    /// <summary>Opens all cards that the options name; all there are if they name none.</summary>
    public static MeshResult<CardSet> Open(RdmaOptions options, GidWish wish, ILogger log)
    {
        if (LibIbverbs.NotSupportedReason is { } unsupported)
            return new MeshError(MeshErrorCode.Unavailable, Stage, unsupported);
        var names = NamesFor(options);
        if (!names.Succeeded)
            return names.Error!;
        var lives = new List<CardLife>();
        var rails = new List<RailPort>();
        MeshError? refused = null;
        foreach (string name in names.Value)
        {
            if (CardLife.Open(name, options, wish, out var reason) is { } life)
            {
                lives.Add(life);
                rails.Add(new RailPort(name, options.Port));
                continue;
            }

            refused ??= reason;
            log.LogWarning("card_not_usable card={Card} reason={Reason}", name, reason!.Message);
        }

        // One that was asked for by name must be there; of all there are, those that can be used.
        bool enough = lives.Count > 0 && (refused is null || options is { Devices.Count: 0, GidIndex: null });
        int wake = enough ? LibC.eventfd(0, LibC.EFD_CLOEXEC) : -1;
        if (enough)
            return new CardSet([.. rails], [.. lives], options, wish, wake, log);
        foreach (var life in lives)
            life.Close();
        return refused ?? new MeshError(MeshErrorCode.Unavailable, Stage, "no RDMA device can be used");
    }

    /// <summary>Starts to listen.</summary>
    public void Start() => _thread.Start();

    /// <summary>Closes every card. All that was made on them has been destroyed.</summary>
    public void Dispose()
    {
        _closing = true;
        ulong one = 1;
        _ = LibC.write(_wake, &one, sizeof(ulong));
        _thread.Join();
        _ = LibC.close(_wake);
        foreach (var life in _lives)
            life?.Close();
    }

    private static MeshResult<IReadOnlyList<string>> NamesFor(RdmaOptions options)
    {
        // The library lists them in the order they came: by name, cards of the same number face each other.
        string[] known = [.. DeviceListing.All().Select(device => device.Name).Order(StringComparer.Ordinal)];
        foreach (string name in options.Devices.Concat(options.Excluded))
        {
            if (!known.Contains(name))
            {
                return new MeshError(MeshErrorCode.InvalidArgument, "config:rdma",
                    $"rdma device '{name}' is not there; there are: {string.Join(", ", known)}");
            }
        }

        string[] names = [.. (options.Devices.Count > 0 ? options.Devices : known).Except(options.Excluded)];
        return names.Length is > 0 and <= Control.VerbsLimits.MaxCards ? names
            : new MeshError(MeshErrorCode.InvalidArgument, "config:rdma",
                $"{names.Length} rdma devices are left of {string.Join(", ", known)}; it must be 1 to "
                + $"{Control.VerbsLimits.MaxCards}");
    }

    private void Listen()
    {
        var polled = new pollfd[1 + _lives.Length];
        long looked = Environment.TickCount64;
        while (!_closing)
        {
            polled[0] = new pollfd { fd = _wake, events = LibC.POLLIN };
            for (int i = 0; i < _lives.Length; i++)
            {
                // A negative descriptor is passed over.
                polled[i + 1] = new pollfd { fd = _lives[i]?.Device.AsyncDescriptor ?? -1, events = LibC.POLLIN };
            }

            int ready;
            long left = Math.Max(0, looked + LookMilliseconds - Environment.TickCount64);
            fixed (pollfd* first = polled)
                ready = LibC.poll(first, (nuint)polled.Length, (int)left);
            for (int i = 0; ready > 0 && i < _lives.Length && !_closing; i++)
            {
                if (polled[i + 1].revents != 0)
                    Hear(i, _lives[i]!);
            }

            if (_closing || Environment.TickCount64 - looked < LookMilliseconds)
                continue;
            Look();
            looked = Environment.TickCount64;
        }
    }

    /// <summary>Looks which cards are there.</summary>
    private void Look()
    {
        var present = DeviceListing.Names();
        for (int i = 0; i < _lives.Length && !_closing; i++)
        {
            bool isThere = present.Contains(Rails[i].Device);
            if (_lives[i] is { } life && (!isThere || life.Fault is not null))
                Lose(i, life);
            else if (_lives[i] is null && isThere)
                TryReopen(i);
        }
    }

    private void Hear(int card, CardLife life)
    {
        bool gone = false;
        try
        {
            while (life.Device.TryGetEvent(out var happened))
            {
                _log.LogInformation("card_event card={Card} event={Event} port={Port}", Rails[card].Device,
                    happened.Kind, happened.Port);
                gone |= happened.Kind == VerbsEventKind.DeviceFatal;
                // Events are those of the device: of other ports than ours nothing follows.
                if (happened.Port == _options.Port)
                    gone |= !life.TryRefresh(_options.Port, _wish);
            }
        }
        catch (VerbsException)
        {
            gone = true;
        }

        if (gone)
            Lose(card, life);
        else if (_up[card] != life.IsUp)
            Changed(card, life);
    }

    private void Changed(int card, CardLife life)
    {
        _up[card] = life.IsUp;
        if (_up[card])
            OnUp?.Invoke(card, life, false);
        else
            OnDown?.Invoke(card, false);
    }

    private void Lose(int card, CardLife life)
    {
        life.BeginClose();
        _up[card] = false;
        OnDown?.Invoke(card, true);
        Volatile.Write(ref _lives[card], null);
        life.Close();
    }

    private void TryReopen(int card)
    {
        if (CardLife.Open(Rails[card].Device, _options, _wish, out _) is not { } life)
            return;
        Volatile.Write(ref _lives[card], life);
        _up[card] = life.IsUp;
        OnUp?.Invoke(card, life, true);
    }
}
