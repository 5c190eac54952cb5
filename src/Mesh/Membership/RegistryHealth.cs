// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Membership;

/// <summary>
/// Whether the registry answers, since when not, and whether members are only added for now. An outage is measured
/// from the start of the first call that failed: a lease that may have run out meanwhile (its last beat was up to
/// TTL/3 before) always makes it longer than TTL/3. Thread-safe.
/// </summary>
internal sealed class RegistryHealth(MeshRuntime runtime, ILogger log, TimeSpan leaseTtl)
{
    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private RegistryException? _failure;
    private RegistryException? _writeProblem;
    private long _outageStart;
    private long _addOnlyUntil;
    private long? _lastLog;

    /// <summary>Called when an add-only window opens: its end needs a listing, whatever sleeps until then.</summary>
    public Action? WindowOpened { get; set; }

    /// <summary>The lease's granted time to live: what the windows are made of.</summary>
    public TimeSpan LeaseTtl { get; set; } = leaseTtl;

    /// <summary>The present failure, or null.</summary>
    public RegistryException? Failure
    {
        get
        {
            lock (_gate)
                return _failure ?? _writeProblem;
        }
    }

    /// <summary>Whether calls fail at present.</summary>
    public bool Away
    {
        get
        {
            lock (_gate)
                return _failure is not null;
        }
    }

    /// <summary>What is left of the add-only window; zero when there is none.</summary>
    public TimeSpan AddOnlyLeft
    {
        get
        {
            lock (_gate)
            {
                long now = runtime.Time.GetTimestamp();
                return _addOnlyUntil > now ? runtime.Time.GetElapsedTime(now, _addOnlyUntil) : TimeSpan.Zero;
            }
        }
    }

    /// <summary>A call that began at <paramref name="started"/> failed.</summary>
    public void NoteFailure(long started, RegistryException failure)
    {
        lock (_gate)
        {
            if (failure.Failure is RegistryFailure.Unavailable)
            {
                if (_failure is null)
                    _outageStart = started;
                _failure = failure;
            }
            else
            {
                // It answers, if only to refuse: the outage, if there was one, is not over before a read succeeds.
                _writeProblem = failure;
            }
        }

        Log(LogLevel.Warning, $"registry: {failure.Message} ({failure.Failure})");
    }

    /// <summary>The registry answered. After an outage of more than TTL/3 an add-only window begins.</summary>
    public void NoteAnswer()
    {
        TimeSpan outage;
        lock (_gate)
        {
            // Reads and beats go on under NOSPACE: only a write shows that it is over.
            if (_writeProblem is { Failure: not RegistryFailure.NoSpace })
                _writeProblem = null;
            if (_failure is null)
                return;
            _failure = null;
            outage = runtime.Time.GetElapsedTime(_outageStart);
            if (outage > LeaseTtl / 3)
                OpenWindow();
        }

        if (outage > LeaseTtl / 3)
            WindowOpened?.Invoke();

        Log(LogLevel.Information, $"registry: answers again after {outage.TotalSeconds:0.0} s");
    }

    /// <summary>A grant or write succeeded.</summary>
    public void NoteWrite()
    {
        lock (_gate)
            _writeProblem = null;
        NoteAnswer();
    }

    /// <summary>The registry lost its past: an add-only window begins.</summary>
    public void NotePastLost()
    {
        lock (_gate)
            OpenWindow();
        WindowOpened?.Invoke();
    }

    /// <summary>At most one line a second, whatever happens.</summary>
    public void Log(LogLevel level, string message)
    {
        lock (_gate)
        {
            if (_lastLog is { } last && runtime.Time.GetElapsedTime(last) < LogInterval)
                return;
            _lastLog = runtime.Time.GetTimestamp();
        }

        log.Log(level, "registry message={Message}", message);
    }

    private void OpenWindow() =>
        _addOnlyUntil = runtime.Time.GetTimestamp() +
            (long)(2 * LeaseTtl.TotalSeconds * runtime.Time.TimestampFrequency);
}
