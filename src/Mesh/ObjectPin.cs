// SPDX-License-Identifier: Apache-2.0
namespace Mooncake.Mesh;

/// <summary>How hard a holder keeps an object. Travels on the wire: values are fixed, new ones are appended.</summary>
public enum ObjectPin
{
    /// <summary>Evicted in its turn.</summary>
    None = 0,

    /// <summary>Evicted last, for 30 minutes from its last put on.</summary>
    Soft = 1,

    /// <summary>Never evicted; a node keeps at most a set share of its memory so.</summary>
    Hard = 2,
}
