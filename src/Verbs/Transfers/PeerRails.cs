// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer.Rails;

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>
/// The queue pairs to a peer: one a card here, each with a card of the peer; one that breaks is destroyed once nothing
/// is on its way over it, and made anew while there is something to move, then with the peer's next card. Guarded by
/// the lock of the peer.
/// </summary>
internal sealed class PeerRails
{
    /// <summary>
    /// How long the slices of a broken queue pair may take to come back; then it is destroyed with them.
    /// </summary>
    private static readonly TimeSpan FlushLimit = TimeSpan.FromSeconds(1);

    /// <summary>How long a rail stays with another card of the peer than its own, before that is tried again.</summary>
    private static readonly TimeSpan AwayLimit = TimeSpan.FromSeconds(5);

    private readonly List<Endpoint> _alive = [];
    private readonly RdmaPeer _peer;
    private readonly IConnector? _connector;
    private readonly TimeProvider _time;
    private readonly IReadOnlyList<RailPort> _cards;
    private readonly ILogger _log;
    private readonly RailPreferences _preferences;
    private readonly RailChoice[] _choices;
    private readonly RailChoice[] _only;
    private readonly Rail[] _rails;

    public PeerRails(RdmaPeer peer, IReadOnlyList<RailPort> cards, RailPreferences preferences,
        IConnector? connector, TimeProvider time, ILogger log)
    {
        _cards = cards;
        _preferences = preferences;
        _log = log;
        _peer = peer;
        _connector = connector;
        _time = time;
        Board = new RailBoard(cards, time);
        _rails = new Rail[cards.Count];
        _only = new RailChoice[cards.Count];
        for (int i = 0; i < _rails.Length; i++)
        {
            _rails[i] = new Rail { RemoteCard = HomeOf(i) };
            _only[i] = new RailChoice([i], []);
        }

        _choices = new RailChoice[preferences.Count];
        Choose();
    }

    /// <summary>Places slices.</summary>
    public RailBoard Board { get; }

    /// <summary>Whether any rail has a queue pair.</summary>
    public bool IsConnected => Array.Exists(_rails, rail => rail.Current is not null);

    /// <summary>Whether all memory is served by the same rails.</summary>
    public bool IsUniform => _preferences.IsUniform;

    /// <summary>Queue pairs that have not been destroyed.</summary>
    public IReadOnlyList<Endpoint> Alive => _alive;

    /// <summary>Whether one is being made.</summary>
    public bool IsConnecting => Array.Exists(_rails, rail => rail.Attempt is not null);

    /// <summary>Whether anything is on its way.</summary>
    public bool IsUnderWay => _alive.Exists(endpoint => endpoint.InFlight > 0);

    /// <summary>The rails with a queue pair that serve a location.</summary>
    public RailChoice ChoiceFor(int location) => _choices[location];

    /// <summary>One rail, for what may go over no other.</summary>
    public RailChoice Only(int rail) => _only[rail];

    /// <summary>Whether this is the queue pair of its rail now.</summary>
    public bool IsCurrent(Endpoint endpoint) => _rails[endpoint.Rail].Current == endpoint && !endpoint.IsBroken;

    /// <summary>The queue pair of a rail.</summary>
    public Endpoint Current(int rail) => _rails[rail].Current!;

    /// <summary>Starts to make the queue pairs that are missing, where it is time to.</summary>
    public void Connect()
    {
        if (_connector is null)
            return;
        for (int i = 0; i < _rails.Length; i++)
        {
            var rail = _rails[i];
            if (rail.Attempt is not null)
                continue;
            bool away = rail.Current is { } current && current.RemoteCard != HomeOf(i)
                && _time.GetElapsedTime(rail.Since) > AwayLimit;
            if (rail.Current is null ? _time.GetElapsedTime(rail.Since) >= rail.Pause : away)
            {
                int card = i, remoteCard = away ? HomeOf(i) : rail.RemoteCard;
                var attempt = rail.Attempt = new Attempt();
                attempt.Ended = Task.Run(() => ConnectAsync(card, remoteCard, attempt));
            }
        }
    }

    /// <summary>Takes in a queue pair; what its rail had before carries nothing new.</summary>
    public void Install(Endpoint endpoint)
    {
        var rail = _rails[endpoint.Rail];
        if (rail.Current is { } before)
            Drain(before);
        _alive.Add(endpoint);
        rail.Current = endpoint;
        rail.RemoteCard = endpoint.RemoteCard;
        rail.Since = _time.GetTimestamp();
        Choose();
        // Its card may have gone while it was made, and nobody will tell it any more.
        if (!endpoint.Life.IsUp)
            Break(endpoint, "its card is down");
    }

    /// <summary>Slices of a rail arrive.</summary>
    public void Well(int rail) => _rails[rail].Failures = 0;

    /// <summary>A queue pair carries nothing more, and gives back what is on its way.</summary>
    /// <param name="endpoint">The queue pair.</param>
    /// <param name="fault">How its way has failed; null: it is broken for what goes over it.</param>
    public void Break(Endpoint endpoint, string? fault)
    {
        if (endpoint.IsEnding || endpoint.Watch is not null)
            return;
        bool faulty = fault is not null;
        if (faulty)
        {
            _log.LogWarning("pair_broken card={Card} to={RemoteCard} reason={Reason}",
                _cards[endpoint.Rail].Device, endpoint.RemoteCard, fault);
        }

        endpoint.Watch = _time.CreateTimer(_ => _peer.EndByForce(endpoint), null, FlushLimit,
            System.Threading.Timeout.InfiniteTimeSpan);
        try
        {
            endpoint.Pair.Fail();
        }
        catch (VerbsException)
        {
            // The device is gone; the watch ends it.
        }

        endpoint.IsFaulty = faulty;
        if (faulty)
            Failed(_rails[endpoint.Rail], endpoint.Rail);
        Drain(endpoint);
    }

    /// <summary>A card is lost, or its port is down.</summary>
    public void CardDown(int card, in RailPort port)
    {
        Board.PortDown(port.Device, port.Port);
        BreakWhere(endpoint => endpoint.Rail == card, "its card is down");
    }

    /// <summary>A card is back.</summary>
    public void CardUp(int card, in RailPort port)
    {
        Board.PortUp(port.Device, port.Port);
        _rails[card].Failures = 0;
        _rails[card].Pause = TimeSpan.Zero;
        _rails[card].RemoteCard = HomeOf(card);
    }

    /// <summary>Breaks the queue pairs of which this is so.</summary>
    public void BreakWhere(Predicate<Endpoint> which, string? fault = null)
    {
        foreach (var endpoint in _alive.FindAll(which))
            Break(endpoint, fault);
    }

    /// <summary>The queue pairs that work, as (the peer's card, ours).</summary>
    public HashSet<(int From, int To)> Working()
    {
        var working = new HashSet<(int, int)>();
        foreach (var endpoint in _alive)
        {
            if (!endpoint.IsBroken)
                working.Add((endpoint.RemoteCard, endpoint.Rail));
        }

        return working;
    }

    /// <summary>Destroys a queue pair that carries nothing more once nothing is on its way over it.</summary>
    public void EndIfOver(Endpoint endpoint)
    {
        if (!endpoint.IsBroken || endpoint.InFlight > 0 || endpoint.IsEnding)
            return;
        endpoint.IsEnding = true;
        endpoint.Watch?.Dispose();
        // Not on the thread of a card: the kernel may take its time.
        ThreadPool.UnsafeQueueUserWorkItem(static ended => ended.Peer.End(ended), endpoint, preferLocal: false);
    }

    /// <summary>A queue pair has been destroyed.</summary>
    public void Ended(Endpoint endpoint)
    {
        _alive.Remove(endpoint);
        endpoint.Ended.TrySetResult();
    }

    private int HomeOf(int rail) => _connector is null ? 0 : rail % _connector.RemoteCards;

    private void Drain(Endpoint endpoint)
    {
        endpoint.IsBroken = true;
        var rail = _rails[endpoint.Rail];
        if (rail.Current == endpoint)
        {
            rail.Current = _alive.FindLast(other => other.Rail == endpoint.Rail && !other.IsBroken);
            Choose();
        }

        EndIfOver(endpoint);
    }

    private void Choose()
    {
        var numbers = new List<int>(_rails.Length);
        for (int i = 0; i < _rails.Length; i++)
        {
            if (_rails[i].Current is not null)
                numbers.Add(i);
        }

        for (int i = 0; i < _choices.Length; i++)
            _choices[i] = _preferences.ChoiceOf(i, numbers);
    }

    /// <summary>
    /// Each of the peer's cards is tried anew at once, its own last; what follows then, after ever longer pauses.
    /// </summary>
    private void Failed(Rail rail, int number)
    {
        int cards = _connector?.RemoteCards ?? 1;
        rail.Since = _time.GetTimestamp();
        rail.Pause = rail.Failures < cards ? TimeSpan.Zero
            : RailBoard.FirstPause * (1 << Math.Min(rail.Failures - cards, 6));
        rail.Pause = rail.Pause < RailBoard.LongestPause ? rail.Pause : RailBoard.LongestPause;
        rail.Failures++;
        rail.RemoteCard = (HomeOf(number) + rail.Failures) % cards;
    }

    private async Task ConnectAsync(int card, int remoteCard, Attempt attempt)
    {
        var endpoint = await _connector!.ConnectAsync(_peer, card, remoteCard, attempt);
        attempt.Endpoint = endpoint;
        _peer.Connected(card, endpoint);
    }

    /// <summary>Gives up what is being made; those of the attempts after which the peer can use something.</summary>
    public List<Attempt> GiveUpAttempts()
    {
        var usable = new List<Attempt>();
        foreach (var rail in _rails)
        {
            if (rail.Attempt is { } attempt && attempt.GiveUp())
                usable.Add(attempt);
        }

        return usable;
    }

    /// <summary>An attempt to make a queue pair has ended; null: in vain.</summary>
    public void Connected(int card, Endpoint? endpoint)
    {
        var rail = _rails[card];
        bool isGivenUp = rail.Attempt!.IsGivenUp;
        rail.Attempt = null;
        if (endpoint is not null)
            Install(endpoint);
        if (isGivenUp && endpoint is not null)
            Break(endpoint, null);
        else if (isGivenUp || endpoint is not null)
            return;
        else if (rail.Current is null)
            Failed(rail, card);
        else
            rail.Since = _time.GetTimestamp();
    }

    private sealed class Rail
    {
        public Endpoint? Current { get; set; }

        /// <summary>That to make its queue pair; null: there is none.</summary>
        public Attempt? Attempt { get; set; }

        /// <summary>The peer's card that is tried next.</summary>
        public int RemoteCard { get; set; }

        /// <summary>When it last failed, or got its queue pair.</summary>
        public long Since { get; set; }

        public TimeSpan Pause { get; set; }

        public int Failures { get; set; }
    }
}
