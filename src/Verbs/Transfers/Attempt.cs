// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>
/// An attempt to make a queue pair. Until it is connected here the peer can do nothing over it, though it may have
/// connected its end: one that is given up before never lets it. Thread-safe.
/// </summary>
internal sealed class Attempt
{
    private readonly Lock _gate = new();
    private bool _isGivenUp;
    private bool _isConnected;

    /// <summary>Whether what comes of it is to be broken.</summary>
    public bool IsGivenUp
    {
        get
        {
            lock (_gate)
                return _isGivenUp;
        }
    }

    /// <summary>Ends once what came of it has been taken in.</summary>
    public Task Ended { get; set; } = Task.CompletedTask;

    /// <summary>What came of it; null: nothing.</summary>
    public Endpoint? Endpoint { get; set; }

    /// <summary>Lets the peer use the queue pair; false: the attempt has been given up.</summary>
    public bool TryConnect(Action connect)
    {
        lock (_gate)
        {
            if (_isGivenUp)
                return false;
            connect();
            _isConnected = true;
            return true;
        }
    }

    /// <summary>Gives it up; true: the peer can use the queue pair by now, until it is broken.</summary>
    public bool GiveUp()
    {
        lock (_gate)
        {
            _isGivenUp = true;
            return _isConnected;
        }
    }
}
