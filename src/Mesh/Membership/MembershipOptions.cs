// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>How a node takes part in the membership.</summary>
public sealed record MembershipOptions
{
    /// <summary>Time to live of the node's lease, from 1 s to 5 min; the registry may grant another.</summary>
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often everything is listed anew, whatever the watch says.</summary>
    public TimeSpan RelistInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest time the first registration, or one update, may take.</summary>
    public TimeSpan RegistrationTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Whether to wait for a node id that is in use, until cancelled, instead of failing.</summary>
    public bool WaitForNodeId { get; init; }

    /// <summary>
    /// Directory where the lease id is kept and revoked on restart, so that a restart does not wait for the old lease
    /// to run out; null: nothing is kept.
    /// </summary>
    public string? RuntimeDirectory { get; init; }

    /// <summary>Number of slots when this node makes the mesh: a power of two from 64 to 2^20.</summary>
    public int Slots { get; init; } = MeshConfig.DefaultSlots;

    /// <summary>Every error of these settings, at stage "config:membership".</summary>
    public IReadOnlyList<MeshError> Validate()
    {
        var errors = new List<MeshError>();
        Range("lease time to live", LeaseTtl, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(5));
        Range("re-list interval", RelistInterval, TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1));
        Range("registration timeout", RegistrationTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1));
        if (Slots is < 64 or > 1 << 20 || !int.IsPow2(Slots))
            errors.Add(Wrong($"slots {Slots}: expected a power of two from 64 to 1048576"));
        return errors;

        void Range(string name, TimeSpan value, TimeSpan least, TimeSpan most)
        {
            if (value < least || value > most)
                errors.Add(Wrong($"{name} {value}: expected {least} to {most}"));
        }
    }

    private static MeshError Wrong(string message) => new(MeshErrorCode.InvalidArgument, "config:membership", message);
}

/// <summary>How the membership stands, for "status", /readyz and metrics.</summary>
public sealed record MembershipStatus
{
    /// <summary>Whether something is wrong; data operations go on all the same.</summary>
    public required bool Degraded { get; init; }

    /// <summary>What is wrong, one line, or empty.</summary>
    public required string Reason { get; init; }

    /// <summary>Whether our record is in the registry on a lease that should live.</summary>
    public required bool Registered { get; init; }

    /// <summary>The present lease, or 0; also the session of our record.</summary>
    public required long Lease { get; init; }

    /// <summary>Time since the start of the last keep-alive that was answered (or of the grant); null before.</summary>
    public required TimeSpan? KeepAliveAge { get; init; }

    /// <summary>From the last good keep-alive of the lease before to the present lease; zero for the first.</summary>
    public TimeSpan LastAbsence { get; init; }

    /// <summary>What kind of failure the registry shows at present, or null.</summary>
    public required RegistryFailure? Failure { get; init; }

    /// <summary>Whether members are only added for now, because the registry was away or lost its past.</summary>
    public required bool AddOnly { get; init; }

    /// <summary>Listings taken since the start.</summary>
    public required long Relists { get; init; }

    /// <summary>Registrations after the first.</summary>
    public required long Reregistrations { get; init; }

    /// <summary>Watches that ended otherwise than by our own wish.</summary>
    public required long WatchEnds { get; init; }

    /// <summary>The present view.</summary>
    public required ViewId View { get; init; }
}
