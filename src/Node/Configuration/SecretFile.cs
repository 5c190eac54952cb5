// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Finds the cluster secret: in the file that is named, else among the credentials systemd passed.</summary>
internal static class SecretFile
{
    /// <summary>Variable that names the file.</summary>
    internal const string Variable = ServeSetting.Prefix + "SECRET_FILE";

    /// <summary>Name of the credential (LoadCredential= of systemd.exec(5)).</summary>
    private const string Credential = "cluster-secret";

    /// <summary>The secret; null when no file is named and no credential is there.</summary>
    /// <param name="file">The file that is named, or null.</param>
    /// <param name="environment">A variable's value, or null.</param>
    internal static MeshResult<ClusterSecret?> Read(string? file, Func<string, string?> environment)
    {
        string? path = file ?? (environment("CREDENTIALS_DIRECTORY") is { Length: > 0 } credentials
            && Path.Combine(credentials, Credential) is var passed && File.Exists(passed) ? passed : null);
        if (path is null)
            return (ClusterSecret?)null;
        MeshResult<ClusterSecret> secret = ClusterSecret.FromFile(path);
        return secret.Error is { } error ? error : (MeshResult<ClusterSecret?>)secret.Value;
    }
}
